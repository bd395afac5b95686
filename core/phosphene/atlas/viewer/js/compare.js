// Two cells side by side, with the evidence for each class in both.
import { button, el } from "./dom.js";
import { name, portrait, trust } from "./details.js";
import { evidenceFor } from "./shade.js";
import { alike, cellName, several, visible } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./marks.js").Spot} Spot */
/** @typedef {import("./details.js").Reader} Reader */

/** Number of classes compared. */
const ROWS = 6;

/**
 * @param {Spot} spot
 * @param {Layer} layer
 * @param {Spot | null} other null if none is chosen yet
 * @param {Layer} otherLayer
 * @param {Reader & { shared: number | null }} reader
 * @returns {Node[]}
 */
export function comparison(spot, layer, other, otherLayer, reader) {
  const pixels = Math.min(2, devicePixelRatio || 1);
  /** @param {Spot} each @param {Layer} of @param {string} kind */
  const side = (each, of, kind) => {
    const level = of.levels[each.depth];
    const [group] = level.groups(each.cell);
    const called = cellName(level, each.cell, reader.classes);
    return el(
      "div",
      { class: `side ${kind}` },
      ...portrait(of, each, null, Math.round(160 * pixels), reader),
      el("h2", {}, name(called)),
      el("p", { class: "muted" }, several(level.points[each.cell], "point")),
      el(
        "p",
        { class: "muted" },
        name(visible(of.name)),
        ` · row ${level.row[each.cell] + 1}, column ${level.column[each.cell] + 1} of ${level.size}`,
      ),
      el("p", { class: "chips" }, ...trust(level, each.cell, group)),
    );
  };
  const second = other
    ? side(other, otherLayer, "two")
    : el(
        "div",
        { class: "side two empty" },
        el("p", { class: "muted" }, "Choose another cell: click or tap it, or move there with the arrow keys and press Enter."),
      );
  const parts = [el("div", { class: "sides" }, side(spot, layer, "one"), second)];
  if (other) {
    parts.push(...between(spot, layer, other, otherLayer, reader.classes));
    if (reader.shared !== null)
      parts.push(
        el(
          "p",
          { class: "told" },
          reader.shared
            ? `${several(reader.shared, "image")} ${reader.shared === 1 ? "is" : "are"} in both.`
            : "No image is in both.",
        ),
      );
    const places = layer.levels[spot.depth].neighbours(spot.cell);
    if (layer === otherLayer && spot.depth === other.depth && places.includes(other.cell)) {
      parts.push(
        el(
          "p",
          { class: "told" },
          `In the layer, the second is neighbour ${places.indexOf(other.cell) + 1} of the first.`,
        ),
      );
    }
  }
  parts.push(
    el(
      "div",
      { class: "acts" },
      button("Stop comparing", () => reader.act("compare", spot), { "data-act": "compare" }),
      button("Copy both as JSON", () => reader.act("copy", spot), { "data-act": "copy" }),
    ),
  );
  return parts;
}

/**
 * The strongest classes of two cells, with one bar per cell.
 * @param {Spot} spot
 * @param {Layer} layer
 * @param {Spot} other
 * @param {Layer} otherLayer
 * @param {string[]} classes
 * @returns {HTMLElement[]}
 */
function between(spot, layer, other, otherLayer, classes) {
  // Evidence of different kinds is not comparable.
  if (layer.facts.evidence !== otherLayer.facts.evidence || !layer.facts.evidence) return [];
  const rows = classes
    .map((_, target) => ({
      target,
      one: evidenceFor(layer, spot.depth, spot.cell, target),
      two: evidenceFor(otherLayer, other.depth, other.cell, target),
    }))
    .filter(({ one, two }) => Number.isFinite(one) && Number.isFinite(two));
  rows.sort((a, b) => Math.max(b.one, b.two) - Math.max(a.one, a.two));
  const shown = rows.slice(0, ROWS);
  if (!shown.length) return [];
  const most = Math.max(1e-9, ...shown.flatMap(({ one, two }) => [one, two]));
  const list = el(
    "ol",
    { class: "bars pairs" },
    ...shown.map(({ target, one, two }) => {
      const bar = el("span", { class: "bar two", "aria-hidden": "true" }, el("i", { class: "one" }), el("i", { class: "two" }));
      bar.style.setProperty("--one", String(Math.max(0, one / most)));
      bar.style.setProperty("--two", String(Math.max(0, two / most)));
      return el(
        "li",
        {},
        name(visible(classes[target]), { class: "class" }),
        bar,
        el("span", { class: "number" }, `${alike(one, most)} | ${alike(two, most)}`),
      );
    }),
  );
  return [el("h3", {}, "Evidence for each class (first cell above the second)"), list];
}
