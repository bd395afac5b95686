// The beginning: opens the atlas, or says why it cannot be opened.
import { App } from "./app.js";
import { byId, el } from "./dom.js";
import { measure, stateOf } from "./motion.js";
import { Incomplete, Payload } from "./payload.js";
import { shortened, visible } from "./words.js";

/** @param {unknown} error */
function fail(error) {
  const root = byId("wait", HTMLElement);
  root.hidden = false;
  root.setAttribute("role", "alert");
  const cut = error instanceof Incomplete;
  root.replaceChildren(
    el("strong", {}, cut ? "This page is incomplete." : "This page could not be opened."),
    cut
      ? ` ${error.message[0].toUpperCase()}${error.message.slice(1)}. It was probably cut off while it was copied or sent: ask for the file again.`
      : ` ${String(error)}`,
  );
}

/** A page whose end is missing says so, even where its beginning can be shown. @param {Payload} payload */
async function check(payload) {
  if (await payload.whole()) return;
  const root = byId("cut", HTMLElement);
  root.hidden = false;
  root.textContent =
    "This page is incomplete: its end is missing, so some pictures are not there. It was probably cut off while it was copied or sent.";
}

try {
  const payload = new Payload(document);
  const app = new App(payload);
  document.title = visible(payload.manifest.title);
  byId("title", HTMLElement).append(
    el("bdi", { title: visible(payload.manifest.title) }, shortened(visible(payload.manifest.title), 60)),
  );
  app.start().catch(fail);
  check(payload);
  /** For measurements and tests: the page counts its own frames, and says what it shows. */
  /** @type {any} */ (globalThis).phosphene_atlas = {
    marks: app.meter.marks,
    settled: () => app.sheets.settled && !app.flying && !app.frameAsked,
    state: () => stateOf(app),
    measure: (/** @type {"pan" | "zoom"} */ kind, /** @type {number} */ time) => measure(app, kind, time),
  };
} catch (error) {
  fail(error);
}
