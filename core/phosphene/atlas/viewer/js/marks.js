// Marks on the map: rings, links to neighbours, and cells with the same images. Every line has an outline.
import { share } from "./painter.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {import("./colour.js").Ink} Ink */
/** @typedef {{ layer: number, depth: number, cell: number }} Spot */
/** @typedef {{ ring: Spot, kind: "pin" | "other" | "focus" | "hover" }} Ring */
/** @typedef {{ rings: Ring[], links: Spot | null, same: Map<number, number> | null, sameDepth: number }} Marks */

/** A cell's square on the screen, in CSS pixels. @param {Layer} layer @param {Camera} camera @param {Spot} spot */
export function boxOf(layer, camera, spot) {
  const level = layer.levels[spot.depth];
  const step = camera.scale / level.size;
  const size = step * share(level, spot.cell);
  const [x, y] = level.centre(spot.cell);
  return { x: camera.toScreenX(x) - size / 2, y: camera.toScreenY(y) - size / 2, size };
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Layer} layer
 * @param {Camera} camera
 * @param {number} ratio
 * @param {Marks} marks
 * @param {Ink} ink
 */
export function drawMarks(g, layer, camera, ratio, marks, ink) {
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.clearRect(0, 0, g.canvas.width, g.canvas.height);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (marks.same) drawSame(g, layer, camera, marks.same, marks.sameDepth, ink);
  if (marks.links) drawLinks(g, layer, camera, marks.links, ink);
  for (const { ring, kind } of marks.rings) {
    const { x, y, size } = boxOf(layer, camera, ring);
    const wide = kind === "hover" ? 2 : 3;
    const color = kind === "hover" ? ink.text : kind === "other" ? ink.bar : ink.accent;
    g.setLineDash(kind === "other" ? [7, 5] : []);
    cased(g, ink.ground, color, wide, () => g.strokeRect(x - 2.5, y - 2.5, size + 5, size + 5));
    g.setLineDash([]);
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {string} ground
 * @param {string} color
 * @param {number} wide
 * @param {() => void} stroke
 */
function cased(g, ground, color, wide, stroke) {
  g.strokeStyle = ground;
  g.lineWidth = wide + 2.5;
  stroke();
  g.strokeStyle = color;
  g.lineWidth = wide;
  stroke();
}

/** @param {CanvasRenderingContext2D} g @param {Layer} layer @param {Camera} camera @param {Spot} from @param {Ink} ink */
function drawLinks(g, layer, camera, from, ink) {
  const start = boxOf(layer, camera, from);
  const cx = start.x + start.size / 2,
    cy = start.y + start.size / 2;
  for (const cell of layer.levels[from.depth].neighbours(from.cell)) {
    const end = boxOf(layer, camera, { ...from, cell });
    const ex = end.x + end.size / 2,
      ey = end.y + end.size / 2;
    // Curved, so that links to cells in a row do not overlap.
    const mx = (cx + ex) / 2 - (ey - cy) * 0.16,
      my = (cy + ey) / 2 + (ex - cx) * 0.16;
    // Starts at the edge of the square, not at its centre.
    const part = Math.min(0.9, (start.size / 2 + 3) / Math.max(1, Math.abs(mx - cx), Math.abs(my - cy)));
    cased(g, ink.ground, ink.accent, 2, () => {
      g.beginPath();
      g.moveTo(cx + (mx - cx) * part, cy + (my - cy) * part);
      g.quadraticCurveTo(mx, my, ex, ey);
      g.stroke();
    });
    g.fillStyle = ink.ground;
    g.beginPath();
    g.arc(ex, ey, 5, 0, 7);
    g.fill();
    g.fillStyle = ink.accent;
    g.beginPath();
    g.arc(ex, ey, 3.4, 0, 7);
    g.fill();
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Layer} layer
 * @param {Camera} camera
 * @param {Map<number, number>} same
 * @param {number} depth
 * @param {Ink} ink
 */
function drawSame(g, layer, camera, same, depth, ink) {
  const most = Math.max(1, ...same.values());
  for (const [cell, count] of same) {
    const part = Math.sqrt(count / most);
    if (part < 0.2) continue;
    const { x, y, size } = boxOf(layer, camera, { layer: layer.index, depth, cell });
    if (x + size < 0 || y + size < 0 || x > camera.width || y > camera.height) continue;
    cased(g, ink.ground, ink.bar, 1 + 3 * part, () => g.strokeRect(x - 1, y - 1, size + 2, size + 2));
  }
}
