// Search of classes and clusters by name, with a list of results for mouse and keyboard.
import { el } from "./dom.js";
import { several, shortened, visible } from "./words.js";

/** @typedef {{ kind: "class" | "cluster", text: string, told: string, choose: () => void }} Found */

/** Maximum number of results. */
const MOST = 12;

/** A name normalised for comparison: lower case, without accents. @param {string} text */
export function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/**
 * How well a name matches the query: 0 at its beginning, 1 at the beginning of a word, 2 elsewhere, -1 not at all.
 * @param {string} name
 * @param {string} typed
 */
export function match(name, typed) {
  const found = plain(name).indexOf(plain(typed));
  if (found < 0) return -1;
  return found === 0 ? 0 : /[\p{L}\p{N}]/u.test(plain(name)[found - 1]) ? 2 : 1;
}

/** @param {string} typed @param {Found[]} all @returns {Found[]} */
export function ranked(typed, all) {
  const scored = all.map((found) => ({ found, score: typed ? match(found.text, typed) : 0 })).filter(({ score }) => score >= 0);
  scored.sort((a, b) => a.score - b.score);
  return scored.slice(0, MOST).map(({ found }) => found);
}

export class Search {
  /** @type {Found[]} */
  shown = [];
  active = -1;

  /** @param {HTMLInputElement} box @param {HTMLElement} list @param {() => Found[]} all @param {(text: string) => void} say */
  constructor(box, list, all, say) {
    this.box = box;
    this.list = list;
    this.all = all;
    this.say = say;
    box.addEventListener("input", () => this.update());
    box.addEventListener("focus", () => this.update());
    box.addEventListener("blur", () =>
      setTimeout(() => {
        if (document.activeElement !== box) this.close();
      }, 150),
    );
    box.addEventListener("keydown", (event) => this.key(event));
  }

  update() {
    this.shown = ranked(this.box.value.trim(), this.all());
    this.active = -1;
    this.list.replaceChildren(
      ...this.shown.map((found, number) => {
        const option = el(
          "li",
          { role: "option", id: `found-${number}`, "aria-selected": "false" },
          el("bdi", { title: visible(found.text) }, shortened(visible(found.text), 60)),
          el("small", {}, found.told),
        );
        option.addEventListener("mousedown", (event) => {
          event.preventDefault();
          this.choose(number);
        });
        return option;
      }),
    );
    if (!this.shown.length)
      this.list.append(
        el("li", { class: "nothing", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No matches."),
      );
    this.list.hidden = false;
    this.box.setAttribute("aria-expanded", "true");
    this.box.removeAttribute("aria-activedescendant");
    if (this.box.value) this.say(several(this.shown.length, "result"));
  }

  close() {
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }

  /** @param {number} number */
  choose(number) {
    const found = this.shown[number];
    if (!found) return;
    this.close();
    this.box.value = "";
    this.box.blur();
    found.choose();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 });
    if (event.key in steps && this.shown.length) {
      if (this.list.hidden) this.update();
      this.active =
        (this.active + steps[event.key] + this.shown.length + (this.active < 0 && event.key === "ArrowUp" ? 1 : 0)) %
        this.shown.length;
      [...this.list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === this.active)));
      this.list.children[this.active].scrollIntoView({ block: "nearest" });
      this.box.setAttribute("aria-activedescendant", `found-${this.active}`);
    } else if (event.key === "Enter") this.choose(Math.max(0, this.active));
    else if (event.key === "Escape") {
      this.box.value = "";
      this.box.blur();
      this.close();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
