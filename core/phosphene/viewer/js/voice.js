// What the page says: to a screen reader, and to everyone.
import { byId } from "./dom.js";

/** Milliseconds without another word before a screen reader gets the last, and for which a note stays. */
const PAUSE = 180,
  STAY = 6000;

export class Voice {
  saying = 0;
  noting = 0;

  /** To a screen reader, once it has stopped changing. @param {string} text */
  say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      byId("live", HTMLElement).textContent = text;
    }, PAUSE);
  }

  /** To everyone, for a while. @param {string} text */
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
