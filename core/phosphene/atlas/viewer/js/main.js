// Entry point: opens the atlas, or explains why it cannot be opened.
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
      ? ` ${error.message[0].toUpperCase()}${error.message.slice(1)}. The file was probably truncated when it was copied or sent: get it again.`
      : ` ${String(error)}`,
  );
}

/** Reports that the end of the page is missing, even if its beginning can be shown. @param {Payload} payload */
async function check(payload) {
  if (await payload.whole()) return;
  const root = byId("cut", HTMLElement);
  root.hidden = false;
  root.textContent =
    "This page is incomplete: its end and some pictures are missing. The file was probably truncated when it was copied or sent.";
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
  /** For benchmarks and tests: frame counts and the current state of the page. */
  /** @type {any} */ (globalThis).phosphene_atlas = {
    marks: app.meter.marks,
    settled: () => app.sheets.settled && !app.flying && !app.frameAsked,
    state: () => stateOf(app),
    measure: (/** @type {"pan" | "zoom"} */ kind, /** @type {number} */ time) => measure(app, kind, time),
  };
} catch (error) {
  fail(error);
}
