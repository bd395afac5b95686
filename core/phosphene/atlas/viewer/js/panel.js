// One layer on the screen: a canvas for the picture and one for the marks above it.
import { clamp } from "./camera.js";
import { density, haze } from "./density.js";
import { el, pen } from "./dom.js";
import { drawMarks } from "./marks.js";
import { drawNames, placeNames } from "./names.js";
import { Painter } from "./painter.js";
import { shortened, visible } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {import("./colour.js").Ink} Ink */
/** @typedef {import("./marks.js").Marks} Marks */
/** @typedef {import("./marks.js").Spot} Spot */

/** Widths of a cell in pixels above which the finer and below which the coarser level is shown; the gap prevents flicker. */
const FINER = 40,
  COARSER = 33;

/** Doublings of the scale after which a requested level is released. */
const AWAY = 0.5;

/** Duration of the cross-fade between levels in milliseconds. */
const FADE = 170;

export class Panel {
  goal = 0;
  fade = 0;
  faded = 0;
  ratio = 1;
  /** @type {{ depth: number, scale: number } | null} */
  held = null;

  /**
   * @param {Layer} layer
   * @param {Camera} camera
   * @param {import("./sheets.js").Sheets} sheets
   * @param {import("./shade.js").Shade} shade
   */
  constructor(layer, camera, sheets, shade) {
    this.layer = layer;
    this.camera = camera;
    const name = visible(layer.name);
    this.map = document.createElement("canvas");
    this.map.className = "map";
    const label = {
      role: "application",
      tabindex: "0",
      "aria-roledescription": "map",
      "aria-label": `Map of ${name}`,
      "aria-describedby": "keys",
    };
    for (const [key, value] of Object.entries(label)) this.map.setAttribute(key, value);
    this.top = document.createElement("canvas");
    this.top.className = "marks";
    this.top.setAttribute("aria-hidden", "true");
    this.element = el(
      "div",
      { class: "panel" },
      this.map,
      this.top,
      el("p", { class: "plate", title: name }, el("bdi", {}, shortened(name, 40))),
    );
    this.g = pen(this.map, false);
    this.t = pen(this.top);
    this.painter = new Painter(this.g, sheets, shade);
    this.points = density(layer);
  }

  /** @param {Ink} ink */
  async colour(ink) {
    this.painter.haze = await haze(this.points, ink);
  }

  /** Resizes the canvases, only if needed, since resizing clears them. @param {number} ratio */
  resize(ratio) {
    const width = Math.max(1, Math.round(this.camera.width * ratio)),
      height = Math.max(1, Math.round(this.camera.height * ratio));
    this.ratio = ratio;
    if (this.map.width === width && this.map.height === height) return;
    for (const each of [this.map, this.top]) {
      each.width = width;
      each.height = height;
    }
  }

  /** The level whose cells have a suitable size; a requested level is kept until the user zooms away. */
  aim() {
    const { levels } = this.layer;
    if (this.held) {
      if (Math.abs(Math.log2(this.camera.scale / this.held.scale)) < AWAY)
        return (this.goal = Math.min(this.held.depth, levels.length - 1));
      this.held = null;
    }
    while (this.goal < levels.length - 1 && this.camera.scale / levels[this.goal + 1].size >= FINER) this.goal++;
    while (this.goal > 0 && this.camera.scale / levels[this.goal].size < COARSER) this.goal--;
    return this.goal;
  }

  /** Advances the cross-fade; returns whether it is running. @param {number} now @param {boolean} still whether motion is disabled */
  advance(now, still) {
    const goal = this.aim();
    const step = still ? Infinity : clamp(now - this.faded, 0, 50) / FADE;
    this.faded = now;
    if (this.fade === goal) return false;
    this.fade = this.fade < goal ? Math.min(goal, this.fade + step) : Math.max(goal, this.fade - step);
    return true;
  }

  /** The cell under a point of the panel. @param {number} sx @param {number} sy @returns {Spot | null} */
  pick(sx, sy) {
    const cell = this.layer.levels[this.goal].cellAt(this.camera.toMapX(sx), this.camera.toMapY(sy));
    return cell < 0 ? null : { layer: this.layer.index, depth: this.goal, cell };
  }

  /** @param {Marks} marks @param {Ink} ink @param {boolean} names */
  draw(marks, ink, names) {
    this.painter.paint(this.layer, this.camera, this.ratio, this.fade, ink);
    const bare = !marks.rings.length && !marks.links && !marks.same;
    this.top.hidden = bare;
    if (!bare) drawMarks(this.t, this.layer, this.camera, this.ratio, marks, ink);
    // Above the marks, so that rings do not cross names.
    if (names) drawNames(bare ? this.g : this.t, placeNames(this.layer, this.goal, this.camera, this.g), this.ratio, ink);
  }
}
