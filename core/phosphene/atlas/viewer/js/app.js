// The application: one camera, one panel per layer, and a frame whenever something has changed.
import { Address } from "./address.js";
import { Camera, clamp } from "./camera.js";
import { readInk } from "./colour.js";
import { byId, pen } from "./dom.js";
import { listen } from "./gestures.js";
import { listenKeys } from "./keys.js";
import { readLayer } from "./layer.js";
import { readImages } from "./linking.js";
import { Meter } from "./meter.js";
import { drawMinimap, listenMinimap } from "./minimap.js";
import { Panel } from "./panel.js";
import { Incomplete } from "./payload.js";
import { Reading } from "./reading.js";
import { Shade } from "./shade.js";
import { Sheets } from "./sheets.js";
import { Thumbs } from "./thumbs.js";
import { Toolbar } from "./toolbar.js";
import { Travel } from "./travel.js";
import { Voice } from "./voice.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./marks.js").Spot} Spot */
/** @typedef {import("./shade.js").Filter} Filter */

/** Milliseconds without motion after which the picture is drawn at full resolution. */
const REST = 140;

export class App {
  /** @type {(Layer | undefined)[]} */
  layers = [];
  /** @type {Panel[]} */
  panels = [];
  /** @type {number[]} */
  shown = [];
  /** @type {import("./linking.js").Images[] | null} of each atlas */
  images = null;
  /** @type {((now: number) => boolean) | null} */
  flying = null;
  /** @type {{ key: string, cells: Map<number, number> } | null} */
  sameKnown = null;
  names = true;
  themed = false;
  moving = false;
  frameAsked = 0;
  resting = 0;
  at = 0;

  /** @param {import("./payload.js").Payload} payload */
  constructor(payload) {
    this.payload = payload;
    this.manifest = payload.manifest;
    this.classes = payload.manifest.classes;
    this.meter = new Meter();
    this.voice = new Voice();
    this.travel = new Travel(this);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.ink = readInk();
    this.camera = new Camera(
      Math.max(...payload.manifest.layers.map((layer) => Math.max(...layer.levels.map((level) => level.size)))),
    );
    this.shade = new Shade();
    this.sheets = new Sheets(
      (name) => payload.bytes(name),
      () => this.ask(),
      (error) => this.lost(error),
    );
    this.thumbs = new Thumbs((name) => payload.bytes(name));
    this.maps = byId("maps", HTMLDivElement);
    this.mini = pen(byId("mini", HTMLCanvasElement));
    this.reading = new Reading(this);
    this.address = new Address(this);
    this.toolbar = new Toolbar(this);
  }

  async start() {
    const { hash } = location;
    const wish = new URLSearchParams(hash.slice(1)).get("theme");
    const given = wish === "dark" || wish === "light";
    await this.theme(given ? wish : matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark", given);
    this.meter.mark("script");
    await this.show(this.address.layers());
    this.meter.mark("data");
    new ResizeObserver(() => this.resize()).observe(this.maps);
    listenKeys(this);
    listenMinimap(byId("mini", HTMLCanvasElement), (x, y) => this.moved(() => this.camera.set({ ...this.camera.pose, x, y })));
    addEventListener("hashchange", () => {
      if (location.hash !== this.address.last) this.visit();
    });
    this.address.read();
    this.reshade();
    for (const panel of this.panels) panel.fade = panel.aim();
    byId("wait", HTMLElement).hidden = true;
    this.images = await readImages(this.payload);
    this.reading.written = "";
    this.reading.write();
    this.ask();
  }

  /** Applies the address after the user has changed it. */
  async visit() {
    await this.show(this.address.layers());
    this.address.read();
    this.reshade();
  }

  /** Shows layers side by side, once they are loaded. @param {number[]} indices */
  async show(indices) {
    await Promise.all(
      indices.map(async (index) => {
        this.layers[index] ||= await readLayer(this.payload, index);
      }),
    );
    this.shown = indices;
    this.panels = await Promise.all(
      indices.map(async (index) => {
        const known = this.panels.find((panel) => panel.layer.index === index);
        if (known) return known;
        const panel = new Panel(/** @type {Layer} */ (this.layers[index]), this.camera, this.sheets, this.shade);
        await panel.colour(this.ink);
        this.listenTo(panel);
        return panel;
      }),
    );
    this.at = 0;
    this.maps.dataset.count = String(this.panels.length);
    this.maps.replaceChildren(...this.panels.map((panel) => panel.element));
    const kept = (/** @type {Spot | null} */ spot) => (spot && indices.includes(spot.layer) ? spot : null);
    Object.assign(this.reading, {
      hover: null,
      focus: kept(this.reading.focus),
      pin: kept(this.reading.pin),
      other: kept(this.reading.other),
    });
    if (!this.reading.pin) this.reading.comparing = false;
    this.resize();
    for (const panel of this.panels) {
      panel.held ??= this.panels[0].held;
      panel.fade = panel.aim();
    }
    this.reading.written = "";
    this.reading.write();
    this.toolbar.update();
    this.address.later();
    this.ask();
  }

  /** The panel with the keyboard focus. */
  get current() {
    return this.panels[Math.min(this.at, this.panels.length - 1)];
  }

  /** @param {Panel} panel */
  listenTo(panel) {
    let clicked = window.parent === window;
    listen(panel.map, {
      pan: (dx, dy) => this.moved(() => this.camera.pan(dx, dy)),
      zoom: (factor, x, y, gently) => {
        const pose = this.camera.zoomed(factor, x, y);
        if (gently) this.travel.fly(pose);
        else this.moved(() => this.camera.set(pose));
      },
      tap: (x, y) => this.reading.press(panel.pick(x, y)),
      hover: (x, y) => this.reading.point(panel.pick(x, y)),
      leave: () => this.reading.point(null),
      grab: () => {
        clicked = true;
        this.flying = null;
        this.at = this.panels.indexOf(panel);
      },
      wheel: () => clicked,
    });
    panel.map.addEventListener("focus", () => {
      this.at = Math.max(0, this.panels.indexOf(panel));
    });
  }

  resize() {
    const [panel] = this.panels;
    if (!panel) return;
    const { width, height } = panel.element.getBoundingClientRect();
    this.camera.resize(Math.max(1, width), Math.max(1, height));
    this.sharpen();
    this.ask();
  }

  /** Full resolution at rest, one canvas pixel per CSS pixel in motion, since the cost of drawing grows with the pixels. */
  sharpen() {
    const ratio = this.moving ? 1 : Math.min(2, devicePixelRatio || 1);
    for (const panel of this.panels) panel.resize(ratio);
  }

  /** Applies a change to the camera. @param {() => void} change */
  moved(change) {
    change();
    this.flying = null;
    this.stir();
  }

  stir() {
    if (!this.moving) {
      this.moving = true;
      this.sharpen();
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.moving = false;
      this.sharpen();
      this.ask();
    }, REST);
    this.address.later();
    this.ask();
  }

  /** Requests one frame, unless one is already requested. */
  ask() {
    this.frameAsked ||= requestAnimationFrame((now) => this.frame(now));
  }

  /** @param {number} now */
  frame(now) {
    this.frameAsked = 0;
    this.meter.frame(now);
    if (this.flying && !this.flying(now)) this.flying = null;
    if (this.flying) this.stir();
    this.sheets.clock++;
    let fading = false;
    let drawn = 0;
    for (const panel of this.panels) {
      fading = panel.advance(now, this.still.matches) || fading;
      panel.draw(this.reading.marks(panel.layer.index, panel.goal), this.ink, this.names);
      drawn += panel.painter.drawn - panel.painter.missing;
    }
    // For the whole map the minimap shows nothing new and covers a corner.
    const { complete } = this.camera;
    this.mini.canvas.hidden = complete;
    if (!complete) drawMinimap(this.mini, this.panels[0]?.painter.haze || null, this.camera, this.ink);
    this.toolbar.levels();
    if (drawn > 0 && this.panels.every((panel) => !panel.painter.missing)) this.meter.mark("complete");
    if (drawn > 0) this.meter.mark("first");
    if (this.flying || fading) this.ask();
  }

  /** Dims everything but a class or a cluster, and moves there; null shows all cells. @param {Filter | null} filter */
  only(filter) {
    this.shade.filter = filter;
    if (!filter && this.shade.overlay === "class") {
      this.shade.overlay = "";
      this.shade.target = -1;
    }
    this.reshade();
    if (!filter) {
      this.voice.say("All cells are shown.");
      return;
    }
    const panel =
      filter.kind === "cluster" ? this.panels.find((each) => each.layer.index === filter.layer) || this.current : this.current;
    const depth = filter.kind === "cluster" ? filter.level : panel.goal;
    const mask = this.shade.mask(panel.layer, depth);
    const level = panel.layer.levels[depth];
    let left = 1,
      right = 0,
      top = 1,
      bottom = 0;
    mask?.forEach((kept, cell) => {
      if (!kept) return;
      const [x, y] = level.centre(cell);
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    });
    const count = this.lit();
    this.voice.say(
      count
        ? `${count === 1 ? "1 cell is" : `${count} cells are`} shown, the others are dimmed.`
        : "No cell of this level matches.",
    );
    if (right < left) return;
    const room = 1.4 / level.size;
    const scale = Math.min(this.camera.width / (right - left + 2 * room), this.camera.height / (bottom - top + 2 * room));
    // Limits the zoom so that more than a few cells are visible.
    this.travel.fly({
      x: (left + right) / 2,
      y: (top + bottom) / 2,
      scale: clamp(scale, this.camera.whole, Math.max(this.camera.whole, level.size * 140)),
    });
  }

  /** Cells of the current level that the filter keeps. @returns {number} */
  lit() {
    const { layer, goal } = this.current;
    let count = 0;
    for (let cell = 0; cell < layer.levels[goal].count; cell++) count += Number(this.shade.keeps(layer, goal, cell));
    return count;
  }

  reshade() {
    this.shade.dark = this.ink.dark;
    this.shade.changed();
    this.toolbar.update();
    this.address.later();
    this.ask();
  }

  /** @param {"dark" | "light"} theme @param {boolean} chosen by the user, so that the address keeps it */
  async theme(theme, chosen) {
    document.documentElement.dataset.theme = theme;
    this.themed = chosen;
    this.ink = readInk();
    await Promise.all(this.panels.map((panel) => panel.colour(this.ink)));
    this.reshade();
  }

  /** @param {Spot} spot @returns {Set<number>} */
  imagesOf(spot) {
    const layer = this.layers[spot.layer];
    return layer && this.images ? this.images[layer.facts.source].of(layer, layer.levels[spot.depth], spot.cell) : new Set();
  }

  /**
   * Cells of another layer that hold images of a cell.
   * @param {Spot} spot
   * @param {number} index
   * @param {number} depth
   * @returns {Map<number, number> | null}
   */
  sameImages(spot, index, depth) {
    const layer = this.layers[index];
    if (!layer || !this.images) return null;
    const key = JSON.stringify([spot, index, depth]);
    if (this.sameKnown?.key !== key)
      this.sameKnown = { key, cells: this.images[layer.facts.source].cells(this.imagesOf(spot), layer, layer.levels[depth]) };
    return this.sameKnown.cells;
  }

  /** @param {unknown} error */
  lost(error) {
    if (error instanceof Incomplete) this.voice.note(`Some pictures are missing: ${error.message}.`);
    else this.voice.note("Some pictures could not be shown.");
  }
}
