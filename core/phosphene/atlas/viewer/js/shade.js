// Filter and overlay: one mask and one colour per cell, computed once per level.
import { sequential, signed } from "./colour.js";
import { figure } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */
/** @typedef {{ kind: "class", number: number } | { kind: "cluster", layer: number, level: number, number: number }} Filter */
/** @typedef {"" | "density" | "fidelity" | "distortion" | "class"} Overlay */
/** @typedef {{ title: string, low: string, high: string, signed: boolean, plain?: boolean }} Legend */

/** Legends for the colours of cells without pictures. */
const MEANT = {
  class: "One colour per class, grey without a reliable label",
  text: "One colour per description, grey without a reliable label",
  region: "One colour per region",
};

export class Shade {
  /** @type {Filter | null} */
  filter = null;
  /** @type {Overlay} */
  overlay = "";
  /** The class of the heat map. */
  target = -1;
  dark = true;
  /** @type {Map<Level, Uint8Array | null>} */
  masks = new Map();
  /** @type {Map<Level, Uint8ClampedArray | null>} */
  tints = new Map();

  changed() {
    this.masks.clear();
    this.tints.clear();
  }

  /**
   * 1 for cells that match the filter; null without a filter.
   * @param {Layer} layer
   * @param {number} depth
   * @returns {Uint8Array | null}
   */
  mask(layer, depth) {
    const level = layer.levels[depth];
    let found = this.masks.get(level);
    if (found === undefined) {
      // A heat map shows all cells, also those that do not match.
      found =
        this.filter && this.overlay !== "class"
          ? Uint8Array.from({ length: level.count }, (_, cell) => Number(this.keeps(layer, depth, cell)))
          : null;
      this.masks.set(level, found);
    }
    return found;
  }

  /** @param {Layer} layer @param {number} depth @param {number} cell @returns {boolean} */
  keeps(layer, depth, cell) {
    const { filter } = this;
    const level = layer.levels[depth];
    if (!filter) return true;
    if (filter.kind === "class") return ofClass(level, cell, filter.number);
    // For a cluster of another level, all of its descendants or ancestors match.
    if (layer.index !== filter.layer || !level.cluster) return true;
    let number = level.cluster[cell];
    let at = depth;
    while (at > filter.level) {
      number = layer.levels[at].clusters[number]?.[4] ?? -1;
      at--;
    }
    if (at === filter.level) return number === filter.number;
    let wanted = filter.number;
    for (let k = filter.level; k > at; k--) wanted = layer.levels[k].clusters[wanted]?.[4] ?? -1;
    return number === wanted;
  }

  /**
   * One RGBA colour per cell; null without an overlay.
   * @param {Layer} layer
   * @param {number} depth
   * @returns {Uint8ClampedArray | null}
   */
  tint(layer, depth) {
    const level = layer.levels[depth];
    let found = this.tints.get(level);
    if (found === undefined) {
      found = null;
      if (this.overlay) {
        found = new Uint8ClampedArray(4 * level.count);
        for (let cell = 0; cell < level.count; cell++) {
          const value = this.value(layer, depth, cell);
          if (Number.isFinite(value))
            found.set([...(this.overlay === "class" ? signed(value, this.dark) : sequential(value)), 255], 4 * cell);
        }
      }
      this.tints.set(level, found);
    }
    return found;
  }

  /**
   * The value that the overlay shows, in 0..1, or in -1..1 for evidence.
   * @param {Layer} layer
   * @param {number} depth
   * @param {number} cell
   * @returns {number}
   */
  value(layer, depth, cell) {
    const level = layer.levels[depth];
    if (this.overlay === "density") return Math.log1p(level.points[cell]) / Math.log1p(level.most);
    if (this.overlay === "fidelity") return ((level.own("group.fidelity")?.[level.starts[cell]] ?? NaN) - 0.4) / 0.6;
    if (this.overlay === "distortion") return Number.isFinite(level.stretch[cell]) ? Math.abs(level.stretch[cell]) / 4 : NaN;
    return evidenceFor(layer, depth, cell, this.target) / mostEvidence(layer, this.target);
  }

  /** @param {Layer} layer @param {number} depth @param {string} name of the class @returns {Legend | null} */
  legend(layer, depth, name) {
    const finest = layer.finest;
    const colours = layer.levels[depth].facts.colours;
    if (!this.overlay && colours) return { title: MEANT[colours], low: "", high: "", signed: false, plain: true };
    if (this.overlay === "density") return { title: "Points per cell", low: "1", high: figure(finest.most), signed: false };
    if (this.overlay === "fidelity") return { title: "Fidelity of the icon (cosine)", low: "0.4", high: "1", signed: false };
    if (this.overlay === "distortion") return { title: "Stretch or compression", low: "none", high: "×16", signed: false };
    if (this.overlay === "class") return { title: `Evidence for ${name}`, low: "against", high: "for", signed: true };
    return null;
  }
}

/**
 * Whether a class is the strongest of one of a cell's groups.
 * @param {Level} level
 * @param {number} cell
 * @param {number} target
 */
export function ofClass(level, cell, target) {
  const classes = level.own("group.class");
  const claimed = level.own("group.claimed");
  if (!classes || !claimed || level.facts.texts) return false;
  const each = classes.length / Math.max(1, level.starts[level.count]);
  for (let g = level.starts[cell]; g < level.starts[cell + 1]; g++) if (classes[g * each] === target) return true;
  return false;
}

/**
 * Mean evidence of a cell for a class, from the coarser level if this one has none.
 * @param {Layer} layer
 * @param {number} depth
 * @param {number} cell
 * @param {number} target
 * @returns {number}
 */
export function evidenceFor(layer, depth, cell, target) {
  const level = layer.levels[depth];
  const classes = level.heat ? level.heat.length / Math.max(1, level.count) : 0;
  if (level.heat) return target < classes ? (level.heat[cell * classes + target] / 127) * (level.facts.heat || 0) : NaN;
  if (depth === 0) return NaN;
  const coarse = layer.levels[depth - 1].cellAt(...level.centre(cell));
  return coarse < 0 ? NaN : evidenceFor(layer, depth - 1, coarse, target);
}

/** @type {WeakMap<Layer, Map<number, number>>} */
const MOST = new WeakMap();

/** The largest absolute evidence for a class in any cell. @param {Layer} layer @param {number} target @returns {number} */
export function mostEvidence(layer, target) {
  const known = MOST.get(layer) || new Map();
  MOST.set(layer, known);
  if (!known.has(target)) {
    let most = 1e-9;
    layer.levels.forEach((level, depth) => {
      if (level.heat)
        for (let cell = 0; cell < level.count; cell++)
          most = Math.max(most, Math.abs(evidenceFor(layer, depth, cell, target)) || 0);
    });
    known.set(target, most);
  }
  return known.get(target);
}
