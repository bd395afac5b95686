// Messages of the page, to screen readers and to everyone.
import { byId } from "./dom.js";

/** Milliseconds of silence before a screen reader gets the last message, and duration of a note. */
const PAUSE = 180,
  STAY = 6000;

export class Voice {
  saying = 0;
  noting = 0;

  /** Announces text to screen readers, once it stops changing. @param {string} text */
  say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      byId("live", HTMLElement).textContent = text;
    }, PAUSE);
  }

  /** Shows a note for a while. @param {string} text */
  note(text) {
    const root = byId("note", HTMLElement);
    root.textContent = text;
    root.hidden = false;
    this.say(text);
    clearTimeout(this.noting);
    this.noting = setTimeout(() => {
      root.hidden = true;
    }, STAY);
  }
}
