// The images of a cell, and the cells of another layer with the same images.
import { columnsOf, gunzip } from "./bytes.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */

export class Images {
  /**
   * @param {ArrayLike<number>} image of each point, counted from 0
   * @param {ArrayLike<number> | undefined} number of each image in the data, if it differs
   */
  constructor(image, number) {
    this.image = image;
    this.number = number;
    let most = -1;
    for (let i = 0; i < image.length; i++) most = Math.max(most, image[i]);
    this.count = most + 1;
    /** @type {{ starts: Uint32Array, points: Uint32Array } | null} */
    this.index = null;
  }

  /** Indices of the points, sorted by image. */
  byImage() {
    if (this.index) return this.index;
    const starts = new Uint32Array(this.count + 1);
    for (let i = 0; i < this.image.length; i++) starts[this.image[i] + 1]++;
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    const next = starts.slice();
    const points = new Uint32Array(this.image.length);
    for (let i = 0; i < this.image.length; i++) points[next[this.image[i]]++] = i;
    this.index = { starts, points };
    return this.index;
  }

  /** @param {Layer} layer @param {Level} level @param {number} cell @returns {Set<number>} */
  of(layer, level, cell) {
    return new Set(layer.members(level, cell).map((point) => this.image[point]));
  }

  /**
   * Number of the given images in each cell of a level; cells without any are left out.
   * @param {Set<number>} images
   * @param {Layer} layer
   * @param {Level} level
   * @returns {Map<number, number>}
   */
  cells(images, layer, level) {
    const { starts, points } = this.byImage();
    const step = layer.facts.scale / level.size;
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const image of images) {
      const seen = new Set();
      for (let i = starts[image]; i < starts[image + 1]; i++) {
        const x = layer.x[points[i]];
        const cell = x === 65535 ? -1 : level.at[Math.floor(layer.y[points[i]] / step) * level.size + Math.floor(x / step)];
        if (cell >= 0) seen.add(cell);
      }
      for (const cell of seen) found.set(cell, (found.get(cell) || 0) + 1);
    }
    return found;
  }

  /** Numbers of images in the data. @param {Iterable<number>} images @returns {number[]} */
  numbers(images) {
    return [...images].map((image) => (this.number ? this.number[image] : image)).sort((a, b) => a - b);
  }
}

/**
 * The images of each atlas on the page, numbered over all of them.
 * @param {import("./payload.js").Payload} payload
 * @returns {Promise<Images[]>}
 */
export async function readImages(payload) {
  return Promise.all(
    payload.manifest.images.map(async ({ columns, data }) => {
      const found = columnsOf(await gunzip(await payload.bytes(data)), columns);
      return new Images(found.get("image") || new Uint8Array(0), found.get("number"));
    }),
  );
}
