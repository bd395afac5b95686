// A small map of the whole, with the visible part outlined.
import { MARGIN } from "./density.js";
import { canvas, pen } from "./dom.js";

/** @typedef {import("./camera.js").Camera} Camera */

/**
 * The density at the size of the minimap, cached since scaling it in each frame costs time.
 * @type {WeakMap<ImageBitmap, HTMLCanvasElement>}
 */
const GROUNDS = new WeakMap();

/** @param {ImageBitmap} haze @param {number} width @param {number} edge @param {number} side */
function groundOf(haze, width, edge, side) {
  let found = GROUNDS.get(haze);
  if (!found) {
    found = canvas(width, width);
    const g = pen(found);
    // Drawn twice, for enough contrast at this size.
    for (let time = 0; time < 2; time++)
      g.drawImage(haze, edge - side * MARGIN, edge - side * MARGIN, side * (1 + 2 * MARGIN), side * (1 + 2 * MARGIN));
    GROUNDS.set(haze, found);
  }
  return found;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {ImageBitmap | null} haze
 * @param {Camera} camera
 * @param {import("./colour.js").Ink} ink
 */
export function drawMinimap(g, haze, camera, ink) {
  const { width } = g.canvas;
  g.clearRect(0, 0, width, width);
  const edge = width * 0.08,
    side = width - 2 * edge;
  if (haze) g.drawImage(groundOf(haze, width, edge, side), 0, 0);
  const clip = (/** @type {number} */ value) => Math.min(width - 3, Math.max(3, edge + value * side));
  const left = clip(camera.toMapX(0)),
    right = clip(camera.toMapX(camera.width));
  const top = clip(camera.toMapY(0)),
    bottom = clip(camera.toMapY(camera.height));
  for (const [color, wide] of /** @type {const} */ ([
    [ink.ground, 7],
    [ink.accent, 3.5],
  ])) {
    g.strokeStyle = color;
    g.lineWidth = wide;
    g.strokeRect(left, top, Math.max(4, right - left), Math.max(4, bottom - top));
  }
}

/** Moves the view to where the minimap is pressed or dragged. @param {HTMLCanvasElement} target @param {(x: number, y: number) => void} go */
export function listenMinimap(target, go) {
  /** @param {PointerEvent} event */
  const there = (event) => {
    const side = target.clientWidth;
    go((event.offsetX / side - 0.08) / 0.84, (event.offsetY / side - 0.08) / 0.84);
  };
  target.addEventListener("pointerdown", (event) => {
    target.setPointerCapture(event.pointerId);
    there(event);
  });
  target.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) there(event);
  });
}
