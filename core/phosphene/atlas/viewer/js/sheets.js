// A least-recently-used cache of decoded sheets, within a budget of bytes.

/** @typedef {{ bitmap: ImageBitmap | null, used: number, state: "new" | "waiting" | "bad" }} Held */

/** Maximum number of sheets decoded at once. */
const LANES = 3;

/** Number of frames after which a sheet that is no longer visible need not be decoded. */
const STALE = 3;

export class Sheets {
  /** @type {Map<string, Held>} */
  held = new Map();
  /** @type {string[]} */
  queue = [];
  clock = 0;
  bytes = 0;
  busy = 0;

  /**
   * @param {(name: string) => Promise<Uint8Array<ArrayBuffer>>} load
   * @param {() => void} changed
   * @param {(error: unknown) => void} failed
   * @param {number} budget bytes
   */
  constructor(load, changed, failed, budget = 64e6) {
    this.load = load;
    this.changed = changed;
    this.failed = failed;
    this.budget = budget;
  }

  /** The sheet, or null while it is being decoded. @param {string} name @returns {ImageBitmap | null} */
  get(name) {
    let sheet = this.held.get(name);
    if (!sheet) {
      sheet = { bitmap: null, used: 0, state: "new" };
      this.held.set(name, sheet);
    }
    sheet.used = this.clock;
    if (!sheet.bitmap && sheet.state === "new") {
      sheet.state = "waiting";
      this.queue.push(name);
      this.next();
    }
    return sheet.bitmap;
  }

  /** Whether all requested sheets are decoded, or have failed. */
  get settled() {
    return this.busy === 0 && this.queue.length === 0;
  }

  next() {
    while (this.busy < LANES && this.queue.length) {
      const name = /** @type {string} */ (this.queue.pop());
      const sheet = /** @type {Held} */ (this.held.get(name));
      if (sheet.used < this.clock - STALE) {
        sheet.state = "new";
        continue;
      }
      this.busy++;
      this.decode(name, sheet)
        .catch((error) => {
          sheet.state = "bad";
          this.failed(error);
        })
        .finally(() => {
          this.busy--;
          this.next();
          this.changed();
        });
    }
  }

  /** @param {string} name @param {Held} sheet */
  async decode(name, sheet) {
    const bitmap = await createImageBitmap(new Blob([await this.load(name)], { type: "image/webp" }));
    sheet.bitmap = bitmap;
    sheet.state = "new";
    this.bytes += bitmap.width * bitmap.height * 4;
    if (this.bytes > this.budget) this.drop(sheet);
  }

  /** @param {Held} keep */
  drop(keep) {
    const old = [...this.held.values()].filter((sheet) => sheet.bitmap && sheet !== keep).sort((a, b) => a.used - b.used);
    for (const sheet of old) {
      // Visible sheets are kept regardless of the budget, since they would be decoded again for the next frame.
      if (this.bytes <= this.budget * 0.8 || sheet.used >= this.clock - 1) return;
      const bitmap = /** @type {ImageBitmap} */ (sheet.bitmap);
      this.bytes -= bitmap.width * bitmap.height * 4;
      bitmap.close();
      sheet.bitmap = null;
    }
  }
}
