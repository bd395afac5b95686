// One layer of the atlas: its levels, its points, and the points of each cell.
import { columnsOf, fromThousandths, gunzip } from "./bytes.js";

/** @typedef {import("./manifest.js").LayerFacts} LayerFacts */
/** @typedef {import("./manifest.js").LevelFacts} LevelFacts */
/** @typedef {import("./payload.js").Payload} Payload */
/** @typedef {import("./bytes.js").Column} Column */
/** @typedef {import("./bytes.js").Columns} Columns */
/** @typedef {{ count: number, tile: number, further: number, fidelity: number, rank: number, claimed: boolean | null,
 *   classes: number[], evidence: number[], margin: number, low: number, high: number, purity: number, patches: number[] }} Group */

/** A point outside the map. */
const OUTSIDE = 65535;

export class Level {
  /**
   * @param {LevelFacts} facts
   * @param {Columns} columns
   */
  constructor(facts, columns) {
    this.facts = facts;
    this.size = facts.size;
    this.count = facts.cells;
    /** @param {string} name */
    const own = (name) => columns.get(`${facts.size}.${name}`);
    /** @param {string} name @returns {Column} */
    const sure = (name) => own(name) || new Uint8Array(facts.cells);
    this.own = own;
    this.row = sure("row");
    this.column = sure("column");
    this.points = sure("count");
    this.images = sure("images");
    this.near = sure("near");
    this.kind = sure("kind");
    this.colour = sure("colour");
    /** Whether any of its cells has a picture. */
    this.pictured = facts.blocks.side > 0;
    this.cluster = own("cluster");
    this.heat = own("heat");
    this.recall = fromThousandths(own("recall"), facts.cells);
    this.stretch = fromThousandths(own("stretch"), facts.cells);
    this.splitHalf = fromThousandths(own("split_half"), facts.cells);
    this.starts = sure("groups");
    this.clusters = facts.clusters || [];
    this.most = 1;
    for (const count of this.points) this.most = Math.max(this.most, count);
    this.at = new Int32Array(facts.size * facts.size).fill(-1);
    for (let i = 0; i < facts.cells; i++) this.at[this.row[i] * facts.size + this.column[i]] = i;
    this.block = new Uint16Array(facts.cells);
    const first = facts.blocks.first;
    first.forEach((begin, k) => this.block.fill(k, begin, first[k + 1] ?? facts.cells));
  }

  /** Centre of a cell, in coordinates in which the map is the unit square. @param {number} cell @returns {[number, number]} */
  centre(cell) {
    return [(this.column[cell] + 0.5) / this.size, (this.row[cell] + 0.5) / this.size];
  }

  /** The cell at a place, or -1. @param {number} x @param {number} y */
  cellAt(x, y) {
    if (!(x >= 0 && y >= 0 && x < 1 && y < 1)) return -1;
    return this.at[Math.floor(y * this.size) * this.size + Math.floor(x * this.size)];
  }

  /** The cell whose centre is nearest to a place, or -1 if there are no cells. @param {number} x @param {number} y */
  nearestTo(x, y) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.count; i++) {
      const away = Math.hypot((this.column[i] + 0.5) / this.size - x, (this.row[i] + 0.5) / this.size - y);
      if (away < least) {
        least = away;
        best = i;
      }
    }
    return best;
  }

  /** @param {number} cell @returns {number[]} */
  neighbours(cell) {
    const each = this.near.length / Math.max(1, this.count);
    return [...this.near.subarray(cell * each, (cell + 1) * each)].filter((other) => other < this.count);
  }

  /** The groups of a cell, largest first. @param {number} cell @returns {Group[]} */
  groups(cell) {
    const found = [];
    for (let g = this.starts[cell]; g < this.starts[cell + 1]; g++) found.push(this.group(g, g === this.starts[cell]));
    return found;
  }

  /** @param {number} g @param {boolean} first @returns {Group} */
  group(g, first) {
    /** @param {string} name @param {number} missing */
    const one = (name, missing) => this.own(`group.${name}`)?.[g] ?? missing;
    /** @param {string} name @returns {number[]} */
    const many = (name) => {
      const column = this.own(`group.${name}`);
      const each = column ? column.length / this.starts[this.count] : 0;
      return column ? [...column.subarray(g * each, (g + 1) * each)] : [];
    };
    const [low, high] = many("interval");
    return {
      count: one("count", 0),
      tile: first ? 1 : 0,
      further: one("further", 0),
      fidelity: one("fidelity", NaN),
      rank: one("rank", 0),
      claimed: this.own("group.claimed") ? one("claimed", 0) === 1 : null,
      classes: many("class"),
      evidence: many("evidence"),
      margin: one("margin", NaN),
      low: low ?? NaN,
      high: high ?? NaN,
      purity: one("purity", NaN),
      patches: many("patch").filter((patch) => patch > 0),
    };
  }

  /** The label of a cell's largest group, or -1. @param {number} cell */
  label(cell) {
    const g = this.starts[cell];
    const column = this.own("group.class");
    if (!column || !this.own("group.claimed")?.[g]) return -1;
    return column[g * (column.length / this.starts[this.count])];
  }
}

export class Layer {
  /**
   * @param {number} index
   * @param {LayerFacts} facts
   * @param {Columns} columns
   */
  constructor(index, facts, columns) {
    this.index = index;
    this.facts = facts;
    this.name = facts.name;
    this.x = columns.get("x") || new Uint16Array(0);
    this.y = columns.get("y") || new Uint16Array(0);
    this.levels = facts.levels.map((each) => new Level(each, columns));
    /** @type {{ starts: Uint32Array, points: Uint32Array } | null} */
    this.index_ = null;
  }

  /** @returns {Level} */
  get finest() {
    return this.levels[this.levels.length - 1];
  }

  /** Indices of the points, sorted by square of the finest level. */
  squares() {
    if (this.index_) return this.index_;
    const size = this.finest.size;
    const step = this.facts.scale / size;
    const starts = new Uint32Array(size * size + 1);
    const square = new Int32Array(this.x.length).fill(-1);
    for (let i = 0; i < square.length; i++) {
      if (this.x[i] === OUTSIDE) continue;
      square[i] = Math.floor(this.y[i] / step) * size + Math.floor(this.x[i] / step);
      starts[square[i] + 1]++;
    }
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    const next = starts.slice();
    const points = new Uint32Array(starts[size * size]);
    for (let i = 0; i < square.length; i++) if (square[i] >= 0) points[next[square[i]]++] = i;
    this.index_ = { starts, points };
    return this.index_;
  }

  /** Indices of the points in a cell. @param {Level} level @param {number} cell @returns {number[]} */
  members(level, cell) {
    const { starts, points } = this.squares();
    const times = this.finest.size / level.size;
    const found = [];
    for (let y = level.row[cell] * times; y < (level.row[cell] + 1) * times; y++) {
      const row = y * this.finest.size;
      const from = starts[row + level.column[cell] * times];
      found.push(...points.subarray(from, starts[row + (level.column[cell] + 1) * times]));
    }
    return found;
  }
}

/**
 * @param {Payload} payload
 * @param {number} index
 * @returns {Promise<Layer>}
 */
export async function readLayer(payload, index) {
  const facts = payload.manifest.layers[index];
  const bytes = await payload.bytes(facts.data);
  return new Layer(index, facts, columnsOf(await gunzip(bytes), facts.columns));
}
