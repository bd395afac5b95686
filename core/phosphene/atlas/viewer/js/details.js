// The details of a cell. Names are untrusted: they are inserted as text and isolated from the text around them.
import { button, el } from "./dom.js";
import { alike, cellName, distortion, fidelity, figure, labelName, several, shortened, visible, whole } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */
/** @typedef {import("./layer.js").Group} Group */
/** @typedef {import("./marks.js").Spot} Spot */
/** @typedef {import("./thumbs.js").Thumbs} Thumbs */
/**
 * @typedef {{ classes: string[], thumbs: Thumbs, go: (spot: Spot) => void, act: (name: string, spot: Spot) => void, pinned: boolean, comparing: boolean }} Reader
 */

const HEADINGS = /** @type {Record<string, string>} */ ({
  attributions: "Attribution to classes",
  logits: "Predictions for its images",
  texts: "Descriptions of its images",
});

/** @param {import("./words.js").Verdict | null} verdict @param {string} of @returns {HTMLElement} */
export function chip(verdict, of) {
  if (!verdict) return el("span", { class: "mark none", title: "Not measured." }, `${of} not measured`);
  return el(
    "span",
    { class: `mark ${verdict.word}`, title: verdict.told },
    el("i", { "aria-hidden": "true" }, verdict.shape),
    `${of} ${verdict.word}`,
  );
}

/**
 * How far a cell can be trusted: the icon of one of its groups, if there are icons, and its place.
 * @param {Level} level
 * @param {number} cell
 * @param {Group | undefined} group
 */
export function trust(level, cell, group) {
  const place = chip(distortion(level.recall[cell], level.stretch[cell]), "Place");
  return level.pictured ? [chip(group ? fidelity(group.fidelity, group.rank) : null, "Icon"), place] : [place];
}

/**
 * The enlarged icon of a cell or of one of its groups; nothing if its level has no pictures.
 * @param {Layer} layer
 * @param {Spot} spot
 * @param {Group | null} group
 * @param {number} size
 * @param {Reader} reader
 */
export function portrait(layer, spot, group, size, reader) {
  const level = layer.levels[spot.depth];
  if (!level.pictured) return [];
  const called = shortened(cellName(level, spot.cell, reader.classes), 80);
  const big = reader.thumbs.icon(layer, level, spot.cell, group, size, `Icon of ${called}`);
  big.className = "big";
  return [big];
}

/** @param {string} text @param {Record<string, string>} [attributes] */
export function name(text, attributes = {}) {
  return el("bdi", { title: text, ...attributes }, shortened(text, 120));
}

/** @param {Spot} spot @param {Layer} layer @param {Reader} reader @returns {Node[]} */
export function details(spot, layer, reader) {
  const level = layer.levels[spot.depth];
  const groups = level.groups(spot.cell);
  const called = cellName(level, spot.cell, reader.classes);
  const body = el("div", { class: "reading" });
  const icons = el("div", { class: "hero" });
  const facts = el(
    "div",
    { class: "facts-of" },
    el("p", {}, several(level.points[spot.cell], "point")),
    el("p", { class: "muted" }, `of ${several(level.images[spot.cell], "image")}`),
    el("p", { class: "muted" }, name(visible(layer.name)), `, level ${level.size}`),
    el("p", { class: "muted" }, `row ${level.row[spot.cell] + 1}, column ${level.column[spot.cell] + 1}`),
  );
  const chips = el("p", { class: "chips" });
  const rest = el("div", {});
  const pixels = Math.min(2, devicePixelRatio || 1);
  /** @param {number} chosen */
  const show = (chosen) => {
    const group = groups[chosen];
    const kinds =
      groups.length > 1
        ? el(
            "div",
            { class: "kinds", role: "group", "aria-label": "Groups of this cell" },
            ...groups.map((each, number) => {
              const share = Math.round((100 * each.count) / level.points[spot.cell]);
              return button(
                `Group ${number + 1} of ${groups.length}, ${share}% of the points`,
                () => {
                  show(number);
                  kinds?.querySelectorAll("button")[number]?.focus();
                },
                { class: "kind", "aria-pressed": String(number === chosen) },
                level.pictured
                  ? reader.thumbs.icon(layer, level, spot.cell, each, Math.round(46 * pixels), "")
                  : name(visible((level.facts.texts || reader.classes)[each.classes[0]] ?? "")),
                `${share}%`,
              );
            }),
          )
        : null;
    icons.replaceChildren(...portrait(layer, spot, group || null, Math.round(184 * pixels), reader), ...(kinds ? [kinds] : []));
    chips.replaceChildren(...trust(level, spot.cell, group));
    rest.replaceChildren(...speaks(layer, level, group, reader.classes), ...patches(layer, groups, chosen, reader, pixels));
  };
  show(0);
  facts.prepend(chips);
  body.append(
    el("h2", {}, name(called)),
    el("div", { class: level.pictured ? "head" : "head bare" }, icons, facts),
    rest,
    ...near(spot, layer, level, reader, pixels),
    actions(spot, reader),
    figures(level, spot.cell, groups),
  );
  return [body];
}

/**
 * Classes as bars. The whisker is the interval of the margin, drawn from the second class: if it is beyond that bar, the first
 * class is reliably ahead.
 * @param {Layer} layer
 * @param {Level} level
 * @param {Group | undefined} group
 * @param {string[]} classes
 * @returns {Node[]}
 */
function speaks(layer, level, group, classes) {
  if (!group || group.claimed === null || !group.classes.length) return [];
  const names = level.facts.texts || classes;
  const [first, second] = group.evidence;
  const low = second + group.low,
    high = second + group.high;
  const most = Math.max(first, Number.isFinite(high) ? high : 0, 1e-9);
  const list = el("ol", { class: "bars" });
  group.classes.forEach((number, place) => {
    const value = group.evidence[place];
    const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("i", {}));
    bar.style.setProperty("--value", String(Math.max(0, value / most)));
    if (place === 0 && Number.isFinite(high)) {
      const whisker = el("b", {});
      whisker.style.setProperty("--low", String(Math.max(0, low / most)));
      whisker.style.setProperty("--high", String(Math.max(0, high / most)));
      bar.append(whisker);
    }
    list.append(
      el(
        "li",
        {},
        name(visible(names[number] ?? number), { class: "class" }),
        bar,
        el("span", { class: "number" }, alike(value, most)),
      ),
    );
  });
  const lead = Number.isFinite(group.margin)
    ? `Margin of the first class over the second: ${figure(group.margin)}${Number.isFinite(high) ? ` (interval ${figure(group.low)} to ${figure(group.high)})` : ""}.`
    : "";
  const told = group.claimed
    ? el("p", { class: "told" }, lead)
    : el(
        "p",
        { class: "told unsure" },
        el("strong", {}, "No reliable label. "),
        lead ? `${lead} This may be due to chance.` : "There are too few images.",
      );
  const source = level.facts.texts ? "texts" : layer.facts.evidence || "";
  return [el("h3", {}, HEADINGS[source] || "Evidence for classes"), list, told];
}

/**
 * @param {Layer} layer
 * @param {Group[]} groups
 * @param {number} chosen
 * @param {Reader} reader
 * @param {number} pixels
 * @returns {Node[]}
 */
function patches(layer, groups, chosen, reader, pixels) {
  // Patches of the chosen group first, then of the others, up to six.
  const order = [chosen, ...groups.keys()].filter((each, place, all) => all.indexOf(each) === place);
  const found = order.flatMap((each) => groups[each]?.patches || []).slice(0, 6);
  if (!found.length) return [];
  return [
    el("h3", {}, "Real image patches"),
    el(
      "div",
      { class: "strip" },
      ...found.map((patch, number) => reader.thumbs.patch(layer, patch, Math.round(52 * pixels), `Real patch ${number + 1}`)),
    ),
  ];
}

/** @param {Spot} spot @param {Layer} layer @param {Level} level @param {Reader} reader @param {number} pixels @returns {Node[]} */
function near(spot, layer, level, reader, pixels) {
  const cells = level.neighbours(spot.cell);
  if (!cells.length) return [];
  const heading = el("h3", {}, "Nearest cells in the layer");
  if (!level.pictured) {
    const named = cells.map((cell, number) => {
      const called = labelName(level, cell, reader.classes) || cellName(level, cell, reader.classes);
      return el(
        "li",
        {},
        button(
          `Neighbour ${number + 1}: ${shortened(called, 80)}`,
          () => reader.go({ ...spot, cell }),
          {},
          name(called),
          el("small", {}, `row ${level.row[cell] + 1}, column ${level.column[cell] + 1}`),
        ),
      );
    });
    return [heading, el("ul", { class: "regions" }, ...named)];
  }
  return [
    heading,
    el(
      "div",
      { class: "strip" },
      ...cells.map((cell, number) =>
        button(
          `Neighbour ${number + 1}: ${shortened(cellName(level, cell, reader.classes), 80)}`,
          () => reader.go({ ...spot, cell }),
          { class: "near" },
          reader.thumbs.icon(layer, level, cell, null, Math.round(52 * pixels), ""),
        ),
      ),
    ),
  ];
}

/** @param {Spot} spot @param {Reader} reader */
function actions(spot, reader) {
  return el(
    "div",
    { class: "acts" },
    button(reader.pinned ? "Unpin" : "Pin", () => reader.act("pin", spot), {
      "data-act": "pin",
      "aria-pressed": String(reader.pinned),
    }),
    button(reader.comparing ? "Stop comparing" : "Compare", () => reader.act("compare", spot), {
      "data-act": "compare",
      "aria-pressed": String(reader.comparing),
    }),
    button("Copy JSON", () => reader.act("copy", spot), { "data-act": "copy" }),
    button("Save PNG", () => reader.act("save", spot), { "data-act": "save" }),
  );
}

/** @param {Level} level @param {number} cell @param {Group[]} groups */
function figures(level, cell, groups) {
  const [group] = groups;
  /** @type {[string, string][]} */
  const rows = [
    ["Fidelity of the icon (cosine)", figure(group ? group.fidelity : NaN)],
    ["Rank of its own group", group?.rank ? whole(group.rank) : "–"],
    ["Neighbours preserved (share)", figure(level.recall[cell])],
    ["Stretch (log2, relative to the median)", figure(level.stretch[cell])],
    ["Split half (cosine)", figure(level.splitHalf[cell])],
    ["Purity (share of the first class)", figure(group ? group.purity : NaN)],
  ];
  return el(
    "details",
    { class: "figures" },
    el("summary", {}, "Figures"),
    el("dl", {}, ...rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
  );
}
