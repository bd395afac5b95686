// Single pictures of sheets for the panels, drawn once their sheet is decoded.
import { canvas, pen } from "./dom.js";
import { ACROSS } from "./manifest.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */
/** @typedef {import("./layer.js").Group} Group */

export class Thumbs {
  /** @type {Map<string, Promise<ImageBitmap>>} */
  sheets = new Map();
  /** Resolves when each picture is drawn. @type {WeakMap<HTMLCanvasElement, Promise<void>>} */
  drawn = new WeakMap();

  /** @param {(name: string) => Promise<Uint8Array<ArrayBuffer>>} load */
  constructor(load) {
    this.load = load;
  }

  /** @param {string} name @returns {Promise<ImageBitmap>} */
  sheet(name) {
    let found = this.sheets.get(name);
    if (!found) {
      found = this.load(name).then((bytes) => createImageBitmap(new Blob([bytes], { type: "image/webp" })));
      this.sheets.set(name, found);
      found.catch(() => this.sheets.delete(name));
      const [oldest] = this.sheets.keys();
      if (this.sheets.size > 16) this.sheets.delete(oldest);
    }
    return found;
  }

  /**
   * One picture of a series.
   * @param {string} series
   * @param {{ side: number, first: number[] }} facts
   * @param {number} number in the series
   * @param {number} across
   * @param {HTMLCanvasElement} target
   */
  async draw(series, facts, number, across, target) {
    let k = facts.first.length - 1;
    while (k > 0 && facts.first[k] > number) k--;
    const place = number - facts.first[k];
    const bitmap = await this.sheet(`${series}-${k}`);
    const ink = pen(target);
    ink.imageSmoothingQuality = "high";
    ink.drawImage(
      bitmap,
      (place % across) * facts.side,
      Math.floor(place / across) * facts.side,
      facts.side,
      facts.side,
      0,
      0,
      target.width,
      target.height,
    );
  }

  /**
   * A picture of a cell, or of one of its groups.
   * @param {Layer} layer
   * @param {Level} level
   * @param {number} cell
   * @param {Group | null} group
   * @param {number} size
   * @param {string} label
   */
  icon(layer, level, cell, group, size, label) {
    const made = canvas(size, size, label);
    const ink = pen(made);
    ink.fillStyle = `rgb(${level.colour[3 * cell]}, ${level.colour[3 * cell + 1]}, ${level.colour[3 * cell + 2]})`;
    ink.fillRect(0, 0, size, size);
    const further = group ? group.further : 0;
    /** @type {Promise<void>} */
    let drawn = Promise.resolve();
    if (further > 0 && level.facts.further)
      drawn = this.draw(`more-${level.size}-${layer.index}`, level.facts.further, further - 1, ACROSS, made);
    else if (level.kind[cell] && level.facts.blocks.side)
      drawn = this.draw(`icon-${level.size}-${layer.index}`, level.facts.blocks, cell, ACROSS, made);
    this.drawn.set(
      made,
      drawn.catch(() => made.setAttribute("data-missing", "")),
    );
    return made;
  }

  /** A real patch. @param {Layer} layer @param {number} patch its number, from 1 @param {number} size @param {string} label */
  patch(layer, patch, size, label) {
    const made = canvas(size, size, label);
    const facts = layer.facts.patches;
    if (facts)
      this.draw(`patch-${layer.index}`, facts, patch - 1, facts.across, made).catch(() => made.setAttribute("data-missing", ""));
    return made;
  }
}
