// The selection (hovered, focused, pinned, compared cells), and the panel that describes it.
import { comparison } from "./compare.js";
import { details } from "./details.js";
import { byId } from "./dom.js";
import { overview } from "./overview.js";
import { asData, copy, savePicture } from "./saving.js";
import { sentence } from "./words.js";

/** @typedef {import("./marks.js").Spot} Spot */
/** @typedef {import("./marks.js").Marks} Marks */
/** @typedef {import("./app.js").App} App */

/** Milliseconds that the pointer rests on a cell before its details are shown. */
const DWELL = 60;

/** @param {Spot | null} a @param {Spot | null} b */
export function same(a, b) {
  return a === b || (!!a && !!b && a.layer === b.layer && a.depth === b.depth && a.cell === b.cell);
}

export class Reading {
  /** @type {Spot | null} */
  hover = null;
  /** @type {Spot | null} */
  focus = null;
  /** @type {Spot | null} */
  pin = null;
  /** @type {Spot | null} */
  other = null;
  comparing = false;
  /** @type {string} */
  written = "";
  timer = 0;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.root = byId("details", HTMLDivElement);
  }

  /** The cell whose details are shown. */
  get read() {
    return this.pin || this.hover || this.focus;
  }
  /** The cell that it is compared with. */
  get second() {
    if (!this.comparing) return null;
    const found = this.other || this.hover || this.focus;
    return same(found, this.pin) ? null : found;
  }

  /** @param {Spot | null} spot */
  point(spot) {
    if (same(spot, this.hover)) return;
    this.hover = spot;
    this.app.ask();
    clearTimeout(this.timer);
    if (spot) this.timer = setTimeout(() => this.write(), DWELL);
  }

  /** Handles a press on a cell or on none: pins it, unpins it, or chooses it for the comparison. @param {Spot | null} spot */
  press(spot) {
    if (this.comparing && spot && !same(spot, this.pin)) this.other = spot;
    else if (!this.comparing) this.pin = same(spot, this.pin) ? null : spot;
    this.focus = spot || this.focus;
    this.changed();
  }

  /** @param {Spot} spot */
  walkTo(spot) {
    this.hover = null;
    this.focus = spot;
    if (!this.comparing) this.pin = null;
    this.changed();
  }

  /** Goes back one step: out of the comparison, the pin, or the cell. @returns {boolean} whether there was one */
  back() {
    if (this.comparing) {
      this.comparing = false;
      this.other = null;
    } else if (this.pin) this.pin = null;
    else if (this.focus) this.focus = null;
    else return false;
    this.changed();
    return true;
  }

  changed() {
    this.write();
    this.app.ask();
    this.app.address.later();
    const spot = this.comparing ? this.second : this.read;
    if (!spot) return;
    const layer = this.app.layers[spot.layer];
    const before = this.comparing ? "Compared with: " : this.pin ? "Pinned: " : "";
    if (layer) this.app.voice.say(before + sentence(layer.levels[spot.depth], spot.cell, this.app.classes));
  }

  /** The marks of a layer. @param {number} index @param {number} depth @returns {Marks} */
  marks(index, depth) {
    const own = (/** @type {Spot | null} */ spot) => (spot && spot.layer === index ? spot : null);
    /** @type {import("./marks.js").Ring[]} */
    const rings = [];
    const pin = own(this.pin),
      other = own(this.other),
      focus = own(this.focus),
      hover = own(this.hover);
    if (pin) rings.push({ ring: pin, kind: "pin" });
    if (other) rings.push({ ring: other, kind: "other" });
    if (focus && !same(focus, pin) && !same(focus, other)) rings.push({ ring: focus, kind: "focus" });
    if (hover && !same(hover, pin) && !same(hover, other)) rings.push({ ring: hover, kind: "hover" });
    const read = this.hover || this.read;
    const linked = read && read.layer !== index ? read : null;
    return { rings, links: own(this.read), same: linked ? this.app.sameImages(linked, index, depth) : null, sameDepth: depth };
  }

  write() {
    const spot = this.read;
    const layer = spot ? this.app.layers[spot.layer] : undefined;
    if (!spot || !layer) {
      // The last details stay visible, unless they were dismissed.
      if (!this.hover && !this.focus && !this.pin) this.clear();
      return;
    }
    const second = this.second;
    const written = JSON.stringify([spot, this.pin, this.comparing, second]);
    if (written === this.written) return;
    this.written = written;
    const held = this.root.contains(document.activeElement) ? document.activeElement?.getAttribute("data-act") : null;
    const reader = {
      classes: this.app.classes,
      thumbs: this.app.thumbs,
      pinned: !!this.pin,
      comparing: this.comparing,
      go: (/** @type {Spot} */ to) => {
        this.app.travel.flyTo(to);
        this.press(same(to, this.pin) ? null : to);
      },
      act: (/** @type {string} */ act, /** @type {Spot} */ on) => this.act(act, on),
    };
    const other = second ? this.app.layers[second.layer] : undefined;
    this.root.replaceChildren(
      ...(this.comparing && this.pin
        ? comparison(this.pin, layer, other ? second : null, other || layer, { ...reader, shared: this.shared(second) })
        : details(spot, layer, reader)),
    );
    if (held) {
      const again = this.root.querySelector(`[data-act="${held}"]`);
      if (again instanceof HTMLElement) again.focus();
    }
  }

  clear() {
    this.written = "";
    const { panels } = this.app;
    this.root.replaceChildren(...(panels.length ? overview(this.app) : []));
  }

  /** Number of images in both cells. @param {Spot | null} second @returns {number | null} */
  shared(second) {
    const { images } = this.app;
    if (!this.pin || !second || !images) return null;
    const mine = this.app.imagesOf(this.pin),
      theirs = this.app.imagesOf(second);
    let count = 0;
    for (const image of mine) if (theirs.has(image)) count++;
    return count;
  }

  /** @param {string} act @param {Spot} spot */
  act(act, spot) {
    const layer = this.app.layers[spot.layer];
    if (!layer) return;
    if (act === "pin") {
      this.pin = this.pin ? null : spot;
      this.focus = spot;
      this.changed();
    }
    if (act === "compare") {
      this.comparing = !this.comparing;
      this.pin = spot;
      this.other = null;
      this.hover = null;
      this.focus = spot;
      this.changed();
      if (this.comparing) this.app.voice.say("Choose a second cell.");
    }
    if (act === "copy") {
      const chosen = [spot, ...(this.second ? [this.second] : [])];
      const data = chosen.map((each) => {
        const { images, layers } = this.app;
        return asData(
          each,
          /** @type {import("./layer.js").Layer} */ (layers[each.layer]),
          this.app.classes,
          images ? images[0].numbers(this.app.imagesOf(each)) : null,
        );
      });
      const made = { atlas: this.app.manifest.atlas, network: this.app.manifest.network, cells: data };
      copy(JSON.stringify(made, null, 1)).then((done) =>
        this.app.voice.note(done ? "Copied as JSON." : "Copying is not allowed in this frame. Open the page in its own tab."),
      );
    }
    if (act === "save") {
      savePicture(spot, layer, this.app.classes, this.app.thumbs, this.app.ink, this.app.manifest.title).then(
        () => this.app.voice.note("Saved as PNG."),
        () => this.app.voice.note("The picture could not be saved."),
      );
    }
  }
}
