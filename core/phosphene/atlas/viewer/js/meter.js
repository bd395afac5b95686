// Frames per second, counted by the page itself from the timestamps of drawn frames.

export class Meter {
  /** @type {number[]} */
  times = [];
  /** @type {Record<string, number>} */
  marks = {};
  on = false;

  /** @param {string} name */
  mark(name) {
    this.marks[name] ??= performance.now();
  }

  start() {
    this.times = [];
    this.on = true;
  }

  /** @param {number} now */
  frame(now) {
    if (this.on) this.times.push(now);
  }

  /** Frames per second, and the 95th percentile of the frame time in milliseconds. */
  stop() {
    this.on = false;
    const gaps = this.times.slice(1).map((time, i) => time - this.times[i]);
    const total = gaps.reduce((sum, gap) => sum + gap, 0);
    const slow = gaps.slice().sort((a, b) => a - b)[Math.floor(gaps.length * 0.95)] ?? NaN;
    return { frames: gaps.length, perSecond: total > 0 ? (1000 * gaps.length) / total : NaN, slow };
  }
}
