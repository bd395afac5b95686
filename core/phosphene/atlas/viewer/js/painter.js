// Draws a layer: density, cells, points and names. Called once per frame, without allocations per cell.
import { ACROSS } from "./manifest.js";
import { MARGIN } from "./density.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */
/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {import("./shade.js").Shade} Shade */
/** @typedef {import("./sheets.js").Sheets} Sheets */
/** @typedef {import("./colour.js").Ink} Ink */

/** Opacity of cells that the filter dims. */
const DIM = 0.13;

/** The same for cells without pictures if points are drawn, which are then all there is to see. */
const SHEER = 0.3;

/** Opacity of an overlay over a picture. */
const COVER = 0.78;

/** Minimum width of a cell in pixels for its points to be drawn. */
const POINTS_FROM = 150;

/**
 * The side of a cell on the screen as a share of its square, which grows with its number of points.
 * @param {Level} level
 * @param {number} cell
 */
export function share(level, cell) {
  return 0.6 + 0.36 * Math.sqrt(Math.min(1, level.points[cell] / (0.55 * level.most)));
}

export class Painter {
  /** @type {ImageBitmap | null} */
  haze = null;
  drawn = 0;
  missing = 0;

  /** @param {CanvasRenderingContext2D} g @param {Sheets} sheets @param {Shade} shade */
  constructor(g, sheets, shade) {
    this.g = g;
    this.sheets = sheets;
    this.shade = shade;
  }

  /**
   * @param {Layer} layer
   * @param {Camera} camera
   * @param {number} ratio canvas pixels per CSS pixel
   * @param {number} fade level, fractional during a cross-fade
   * @param {Ink} ink
   */
  paint(layer, camera, ratio, fade, ink) {
    const { g } = this;
    const { width, height } = g.canvas;
    this.drawn = 0;
    this.missing = 0;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.globalAlpha = 1;
    g.fillStyle = ink.ground;
    g.fillRect(0, 0, width, height);
    g.imageSmoothingEnabled = true;
    g.imageSmoothingQuality = "low";
    const k = camera.scale * ratio;
    const ox = width / 2 - camera.x * k;
    const oy = height / 2 - camera.y * k;
    if (this.haze) g.drawImage(this.haze, ox - k * MARGIN, oy - k * MARGIN, k * (1 + 2 * MARGIN), k * (1 + 2 * MARGIN));
    const base = Math.floor(fade);
    const part = fade - base;
    const near = k / layer.finest.size > POINTS_FROM * ratio;
    if (near) this.points(layer, ox, oy, k, ratio, ink);
    /** @param {number} depth */
    const cover = (depth) => (near && !layer.levels[depth].pictured ? SHEER : 1);
    this.level(layer, base, cover(base), ox, oy, k);
    if (part > 0) this.level(layer, base + 1, part * cover(base + 1), ox, oy, k);
  }

  /** @param {Layer} layer @param {number} depth @param {number} alpha @param {number} ox @param {number} oy @param {number} k */
  level(layer, depth, alpha, ox, oy, k) {
    const { g } = this;
    const level = layer.levels[depth];
    const { width, height } = g.canvas;
    const step = k / level.size;
    const x0 = Math.floor(-ox / step),
      x1 = Math.floor((width - ox) / step);
    const y0 = Math.floor(-oy / step),
      y1 = Math.floor((height - oy) / step);
    const { side, first } = level.facts.blocks;
    const mask = this.shade.mask(layer, depth);
    const tint = this.shade.tint(layer, depth);
    for (let b = 0; b < first.length; b++) {
      const bx = level.column[first[b]] - (level.column[first[b]] % ACROSS);
      const by = level.row[first[b]] - (level.row[first[b]] % ACROSS);
      if (bx > x1 || by > y1 || bx + ACROSS <= x0 || by + ACROSS <= y0) continue;
      const bitmap = side ? this.sheets.get(`icon-${level.size}-${layer.index}-${b}`) : null;
      if (side && !bitmap) this.missing++;
      const stop = b + 1 < first.length ? first[b + 1] : level.count;
      for (let cell = first[b]; cell < stop; cell++) {
        const column = level.column[cell],
          row = level.row[cell];
        if (column < x0 || column > x1 || row < y0 || row > y1) continue;
        const wide = step * share(level, cell);
        // Whole pixels keep pictures sharp and drawing cheap.
        const size = Math.max(1, Math.round(wide));
        const px = Math.round(ox + column * step + (step - wide) / 2);
        const py = Math.round(oy + row * step + (step - wide) / 2);
        const lit = mask && !mask[cell] ? alpha * DIM : alpha;
        g.globalAlpha = lit;
        if (bitmap && level.kind[cell]) {
          const place = cell - first[b];
          g.drawImage(bitmap, (place % ACROSS) * side, Math.floor(place / ACROSS) * side, side, side, px, py, size, size);
        } else {
          g.fillStyle = `rgb(${level.colour[3 * cell]},${level.colour[3 * cell + 1]},${level.colour[3 * cell + 2]})`;
          g.fillRect(px, py, size, size);
        }
        if (tint && tint[4 * cell + 3]) {
          g.globalAlpha = lit * COVER;
          g.fillStyle = `rgb(${tint[4 * cell]},${tint[4 * cell + 1]},${tint[4 * cell + 2]})`;
          g.fillRect(px, py, size, size);
        }
        this.drawn++;
      }
    }
    g.globalAlpha = 1;
  }

  /**
   * Single points, if cells are large enough.
   * @param {Layer} layer
   * @param {number} ox
   * @param {number} oy
   * @param {number} k
   * @param {number} ratio
   * @param {Ink} ink
   */
  points(layer, ox, oy, k, ratio, ink) {
    const { g } = this;
    const { starts, points } = layer.squares();
    const size = layer.finest.size;
    const x0 = Math.max(0, Math.floor((-ox / k) * size)),
      x1 = Math.min(size - 1, Math.floor(((g.canvas.width - ox) / k) * size));
    const y0 = Math.max(0, Math.floor((-oy / k) * size)),
      y1 = Math.min(size - 1, Math.floor(((g.canvas.height - oy) / k) * size));
    g.fillStyle = ink.dot;
    const dot = Math.round(3 * ratio);
    for (let y = y0; y <= y1 && x1 >= x0; y++) {
      for (let i = starts[y * size + x0]; i < starts[y * size + x1 + 1]; i++) {
        const p = points[i];
        g.fillRect(
          Math.round(ox + (layer.x[p] / layer.facts.scale) * k - dot / 2),
          Math.round(oy + (layer.y[p] / layer.facts.scale) * k - dot / 2),
          dot,
          dot,
        );
      }
    }
  }
}
