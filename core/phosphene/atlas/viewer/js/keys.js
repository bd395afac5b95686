// Keyboard control of everything that the mouse can do.
import { byId } from "./dom.js";
import { onLevel, stepFrom } from "./walk.js";

/** @typedef {import("./app.js").App} App */

/** Steps of the arrows. */
const ARROWS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

/** Minimum distance of the focused cell from the border of the view, in pixels. */
const PAD = 56;

/** @param {App} app */
export function listenKeys(app) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || target.closest("dialog")) return;
    // Buttons handle Enter and space themselves; all other keys go to the map.
    const onButton = /^(BUTTON|SUMMARY)$/.test(target.tagName);
    if (onButton && (event.key === "Enter" || event.key === " ")) return;
    if (key(app, event.key, event.shiftKey)) event.preventDefault();
  });
}

/** @param {App} app @param {string} pressed @param {boolean} shift @returns {boolean} whether the key was handled */
function key(app, pressed, shift) {
  if (pressed in ARROWS) {
    const [dx, dy] = ARROWS[pressed];
    if (shift) app.moved(() => app.camera.pan(-dx * 80, -dy * 80));
    else step(app, dx, dy);
    return true;
  }
  const read = app.reading.read;
  /** @type {Record<string, () => void>} */
  const acts = {
    "+": () => zoom(app, 1.6),
    "=": () => zoom(app, 1.6),
    "-": () => zoom(app, 1 / 1.6),
    _: () => zoom(app, 1 / 1.6),
    0: () => {
      app.travel.wholeMap(true);
      app.voice.say("Whole map.");
    },
    "/": () => byId("search", HTMLInputElement).focus(),
    "?": () => byId("help", HTMLDialogElement).showModal(),
    Enter: () => app.reading.press(app.reading.focus),
    " ": () => app.reading.press(app.reading.focus),
    Escape: () => {
      if (!app.reading.back() && app.shade.filter) app.only(null);
    },
    p: () => {
      if (read) app.reading.act("pin", read);
    },
    c: () => {
      if (read) app.reading.act("compare", read);
    },
    j: () => {
      if (read) app.reading.act("copy", read);
    },
    s: () => {
      if (read) app.reading.act("save", read);
    },
    n: () => byId("names", HTMLButtonElement).click(),
  };
  if (!Object.hasOwn(acts, pressed)) return false;
  acts[pressed]();
  return true;
}

/** Moves to the next cell in a direction. @param {App} app @param {number} dx @param {number} dy */
export function step(app, dx, dy) {
  const panel = app.current;
  const { layer, goal: depth } = panel;
  const level = layer.levels[depth];
  const from = app.reading.focus && app.reading.focus.layer === layer.index ? app.reading.focus : null;
  let cell;
  if (!from) cell = level.nearestTo(app.camera.x, app.camera.y);
  else {
    const start = onLevel(layer, from.depth, from.cell, depth);
    cell = from.depth !== depth || (!dx && !dy) ? start : stepFrom(level, start, dx, dy);
  }
  if (cell < 0) {
    app.voice.say(level.count ? "Edge of the map." : "No cells.");
    return;
  }
  const [x, y] = level.centre(cell);
  const half = app.camera.scale / level.size / 2 + PAD;
  const sx = app.camera.toScreenX(x),
    sy = app.camera.toScreenY(y);
  const out = (/** @type {number} */ at, /** @type {number} */ size) =>
    at < half ? half - at : at > size - half ? size - half - at : 0;
  const px = out(sx, app.camera.width),
    py = out(sy, app.camera.height);
  if (px || py) app.moved(() => app.camera.pan(px, py));
  app.reading.walkTo({ layer: layer.index, depth, cell });
}

/**
 * Zooms around the focused cell, and focuses the corresponding cell of the new level.
 * @param {App} app
 * @param {number} factor
 */
function zoom(app, factor) {
  const { focus } = app.reading;
  const level = focus ? app.layers[focus.layer]?.levels[focus.depth] : undefined;
  const [x, y] = focus && level ? level.centre(focus.cell) : [app.camera.x, app.camera.y];
  app.travel.fly(app.camera.zoomed(factor, app.camera.toScreenX(x), app.camera.toScreenY(y)), () => {
    const { focus: now } = app.reading;
    const panel = app.panels.find((each) => each.layer.index === now?.layer);
    if (now && panel && now.depth !== panel.goal && !app.reading.pin) step(app, 0, 0);
    else
      app.voice.say(
        `Level of ${app.current.layer.levels[app.current.goal].size} by ${app.current.layer.levels[app.current.goal].size} cells.`,
      );
  });
}
