// Synchronises the view with the address bar, and reports anything in an address that the atlas does not have.
import { fromHash, toHash } from "./place.js";
import { cellOf } from "./walk.js";
import { shortened, visible } from "./words.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./marks.js").Spot} Spot */
/** @typedef {import("./place.js").Place} Place */

/** Milliseconds after the last change before the address is written. */
const PAUSE = 250;

export class Address {
  timer = 0;
  last = "";
  /** The address is not written before the initial one was read. */
  open = false;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  later() {
    clearTimeout(this.timer);
    if (!this.open) return;
    this.timer = setTimeout(() => this.write(), PAUSE);
  }

  write() {
    const { app } = this;
    const { filter, overlay, target } = app.shade;
    /** @param {Spot} spot */
    const cell = (spot) => {
      const level = /** @type {import("./layer.js").Layer} */ (app.layers[spot.layer]).levels[spot.depth];
      return {
        layer: app.manifest.layers[spot.layer].name,
        size: level.size,
        row: level.row[spot.cell],
        column: level.column[spot.cell],
      };
    };
    /** @type {Partial<Place>} */
    const place = {
      layers: app.shown.map((index) => app.manifest.layers[index].name),
      x: app.camera.x,
      y: app.camera.y,
      zoom: app.camera.zoom,
    };
    const { held, layer, goal } = app.current;
    if (held) place.level = layer.levels[goal].size;
    if (app.reading.pin) place.pin = cell(app.reading.pin);
    if (app.reading.pin && app.reading.comparing && app.reading.other) place.other = cell(app.reading.other);
    if (filter?.kind === "class") place.filter = `class.${app.classes[filter.number]}`;
    if (filter?.kind === "cluster") {
      const { name, levels } = app.manifest.layers[filter.layer];
      place.filter = `cluster.${levels[filter.level].size}.${filter.number}.${name}`;
    }
    if (overlay) place.overlay = overlay === "class" ? `class.${app.classes[target]}` : overlay;
    if (app.themed) place.theme = app.ink.dark ? "dark" : "light";
    this.last = toHash(place);
    // Some frames forbid it; the page works without it.
    try {
      history.replaceState(null, "", this.last);
    } catch {
      /* nothing to do */
    }
  }

  /** Layers that the address names, or the default ones if it names none. @returns {number[]} */
  layers() {
    const names = fromHash(location.hash).layers || [];
    const known = this.app.manifest.layers.map((layer) => layer.name);
    for (const name of names) if (!known.includes(name)) this.strange("layer", name);
    const found = [...new Set(names.map((name) => known.indexOf(name)).filter((index) => index >= 0))];
    return found.length ? found : [this.app.manifest.start];
  }

  /** Applies the address to the page, once its layers are loaded. */
  read() {
    const { app } = this;
    const place = fromHash(location.hash);
    const whole = app.camera.fit();
    app.camera.set({
      x: place.x ?? whole.x,
      y: place.y ?? whole.y,
      scale: place.zoom === undefined ? whole.scale : whole.scale * 2 ** place.zoom,
    });
    if (place.zoom === undefined && place.x === undefined && place.y === undefined) app.travel.wholeMap(false);
    for (const panel of app.panels) {
      const depth = panel.layer.levels.findIndex((level) => level.size === place.level);
      if (depth >= 0) panel.held = { depth, scale: app.camera.scale };
    }
    this.filter(place.filter || "");
    this.overlay(place.overlay || "");
    app.reading.pin = place.pin ? this.spot(place.pin) : null;
    app.reading.other = place.other && app.reading.pin ? this.spot(place.other) : null;
    app.reading.comparing = !!app.reading.other;
    app.reading.focus = app.reading.pin;
    app.reading.hover = null;
    app.reading.write();
    this.open = true;
  }

  /** @param {string} wish */
  filter(wish) {
    const { app } = this;
    app.shade.filter = null;
    if (wish.startsWith("class.")) {
      const number = app.classes.indexOf(wish.slice(6));
      if (number >= 0) app.shade.filter = { kind: "class", number };
      else this.strange("class", wish.slice(6));
    }
    const cluster = /^cluster\.(\d{1,4})\.(\d{1,6})\.([^]*)$/.exec(wish);
    if (cluster) {
      const layer = app.manifest.layers.findIndex((each) => each.name === cluster[3]);
      const level = layer < 0 ? -1 : app.manifest.layers[layer].levels.findIndex((each) => each.size === Number(cluster[1]));
      const number = Number(cluster[2]);
      if (level >= 0 && app.manifest.layers[layer].levels[level].clusters?.[number])
        app.shade.filter = { kind: "cluster", layer, level, number };
      else this.strange("cluster", wish.slice(8));
    }
  }

  /** @param {string} wish */
  overlay(wish) {
    const { shade, classes } = this.app;
    shade.overlay = "";
    shade.target = -1;
    if (wish === "density" || wish === "fidelity" || wish === "distortion") shade.overlay = wish;
    else if (wish.startsWith("class.")) {
      shade.target = classes.indexOf(wish.slice(6));
      if (shade.target >= 0) shade.overlay = "class";
      else this.strange("class", wish.slice(6));
    }
  }

  /** @param {import("./place.js").CellPlace} place @returns {Spot | null} */
  spot(place) {
    const index = this.app.manifest.layers.findIndex((layer) => layer.name === place.layer);
    const layer = this.app.layers[index];
    const depth = layer ? layer.levels.findIndex((level) => level.size === place.size) : -1;
    const cell = layer && depth >= 0 ? cellOf(layer.levels[depth], place.row, place.column) : -1;
    if (cell >= 0) return { layer: index, depth, cell };
    this.strange("cell", `${place.size}.${place.row}.${place.column}.${place.layer}`);
    return null;
  }

  /** @param {string} kind @param {string} name */
  strange(kind, name) {
    this.app.voice.note(`The address names a ${kind} that this atlas does not have: “${shortened(visible(name), 60)}”.`);
  }
}
