// The panel when no cell is selected: the size of the atlas, the measures of its map, and its largest regions.
import { button, el } from "./dom.js";
import { figure, several, shortened, visible, whole } from "./words.js";

/** @typedef {import("./app.js").App} App */

/** Maximum number of regions listed. */
const MOST = 10;

/** @param {number} value a measure: about 0.5 by chance, 1 if perfect */
function told(value) {
  return `${figure(value)} ${value >= 0.95 ? "(good)" : value >= 0.85 ? "(fair)" : "(poor)"}`;
}

/** @param {App} app @returns {Node[]} */
export function overview(app) {
  const { layer, goal } = app.current;
  const { facts } = layer;
  /** @type {[string, string][]} */
  const rows = [
    ["Points", whole(app.manifest.points)],
    ["Channels", whole(facts.width)],
    ["Cells", layer.levels.map((level) => whole(level.count)).join(", ")],
  ];
  if (facts.outliers) rows.push(["Outside the map", whole(facts.outliers)]);
  if (facts.measures) {
    rows.push(
      ["Trustworthiness", told(facts.measures.trustworthiness)],
      ["Continuity", told(facts.measures.continuity)],
    );
  }
  const parts = [
    el("h2", {}, el("bdi", {}, shortened(visible(layer.name), 60))),
    el("p", { class: "muted hint" }, "Point at a cell, tap it, or move with the arrow keys. Click to pin it."),
    el("dl", {}, ...rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
  ];
  const { clusters } = layer.levels[goal];
  const named = clusters
    .map((cluster, number) => ({ cluster, number }))
    .filter(({ cluster }) => cluster[5])
    .slice(0, MOST);
  if (named.length) {
    parts.push(
      el("h3", {}, "Largest regions"),
      el(
        "ul",
        { class: "regions" },
        ...named.map(({ cluster, number }) => {
          const go = button("", () => app.only({ kind: "cluster", layer: layer.index, level: goal, number }));
          go.append(
            el("bdi", { title: visible(cluster[0]) }, shortened(visible(cluster[0]), 40)),
            " ",
            el("small", {}, several(cluster[1], "point")),
          );
          return el("li", {}, go);
        }),
      ),
    );
  }
  return parts;
}
