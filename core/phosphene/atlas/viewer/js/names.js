// Names of clusters on the map, largest first, at their densest point, without overlap.
import { clamp } from "./camera.js";
import { canvas, pen } from "./dom.js";
import { shortened, visible } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {{ text: string, x: number, y: number, size: number, width: number }} Name */

const FONT = 'Inter, system-ui, -apple-system, "Segoe UI", sans-serif';

/** Maximum number of names. */
const MOST = 22;

/** Margin around a name in pixels, which keeps the map readable. */
const APART = 19;

/** @type {Map<string, number>} */
const WIDTHS = new Map();

/** @param {string} text @param {number} size @param {CanvasRenderingContext2D} g */
function widthOf(text, size, g) {
  const key = `${size} ${text}`;
  let found = WIDTHS.get(key);
  if (found === undefined) {
    g.font = `600 ${size}px ${FONT}`;
    found = g.measureText(text).width;
    if (WIDTHS.size > 4000) WIDTHS.clear();
    WIDTHS.set(key, found);
  }
  return found;
}

/**
 * @param {Layer} layer
 * @param {number} depth
 * @param {Camera} camera
 * @param {CanvasRenderingContext2D} g
 * @returns {Name[]}
 */
export function placeNames(layer, depth, camera, g) {
  const level = layer.levels[depth];
  /** @type {[number, number, number, number][]} */
  const taken = [];
  const found = [];
  for (const [name, count, x, y, , claimed] of level.clusters) {
    if (!claimed || found.length >= MOST) continue;
    const sx = camera.toScreenX(x),
      sy = camera.toScreenY(y);
    if (sx < 0 || sy < 0 || sx > camera.width || sy > camera.height) continue;
    const size = Math.round(clamp(11.5 + 3.5 * Math.sqrt(count / level.clusters[0][1]), 12, 15));
    const text = shortened(visible(name), 26);
    const width = widthOf(text, size, g);
    const half = width / 2 + 6;
    const box = /** @type {[number, number, number, number]} */ ([sx - half - APART, sy - APART, sx + half + APART, sy + APART]);
    if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
    taken.push(box);
    found.push({ text, x: clamp(sx, half, camera.width - half), y: sy, size, width });
  }
  return found;
}

/** Cached pictures of names: rendering text in each frame would cost more than all cells. @type {Map<string, HTMLCanvasElement>} */
const WRITTEN = new Map();

/** @param {Name} name @param {number} ratio @param {import("./colour.js").Ink} ink @returns {HTMLCanvasElement} */
function written({ text, size, width }, ratio, ink) {
  const key = `${size} ${ratio} ${ink.dark} ${text}`;
  let found = WRITTEN.get(key);
  if (!found) {
    found = canvas(Math.ceil((width + 10) * ratio), Math.ceil((size * 1.4 + 8) * ratio));
    const g = pen(found);
    g.scale(ratio, ratio);
    g.font = `600 ${size}px ${FONT}`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.lineJoin = "round";
    g.lineWidth = 4;
    g.strokeStyle = ink.ground;
    g.fillStyle = ink.text;
    const x = found.width / ratio / 2,
      y = found.height / ratio / 2;
    g.globalAlpha = 0.88;
    g.strokeText(text, x, y);
    g.globalAlpha = 1;
    g.fillText(text, x, y);
    if (WRITTEN.size > 400) WRITTEN.clear();
    WRITTEN.set(key, found);
  }
  return found;
}

/** @param {CanvasRenderingContext2D} g @param {Name[]} names @param {number} ratio @param {import("./colour.js").Ink} ink */
export function drawNames(g, names, ratio, ink) {
  g.setTransform(1, 0, 0, 1, 0, 0);
  for (const name of names) {
    const picture = written(name, ratio, ink);
    g.drawImage(picture, Math.round(name.x * ratio - picture.width / 2), Math.round(name.y * ratio - picture.height / 2));
  }
}
