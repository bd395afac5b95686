// What is said of a cell, in words: for the eye and for a screen reader.

/** @typedef {import("./layer.js").Level} Level */
/** @typedef {import("./layer.js").Group} Group */
/** @typedef {{ word: string, shape: string, told: string }} Verdict */

/** Signs that change the order of others, or that cannot be seen. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Text with what cannot be seen made visible: a name cannot pass for another. @param {unknown} text @returns {string} */
export function visible(text) {
  return String(text).replace(UNSEEN, (sign) => `⟨U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** @param {string} text @param {number} most signs @returns {string} */
export function shortened(text, most) {
  const signs = [...text];
  return signs.length > most ? `${signs.slice(0, most - 1).join("")}…` : text;
}

/** @param {number} value @returns {string} */
export function whole(value) {
  return value.toLocaleString("en");
}

/** @param {number} count @param {string} one */
export function several(count, one) {
  return `${whole(count)} ${one}${count === 1 ? "" : "s"}`;
}

/** Three digits that count, and a true minus. @param {number} value @returns {string} */
export function figure(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return (
    size >= 100
      ? value.toFixed(0)
      : size >= 10
        ? value.toFixed(1)
        : size >= 0.1 || size === 0
          ? value.toFixed(2)
          : Number(value.toPrecision(2)).toString()
  ).replace("-", "−");
}

/** Figures under one another have as many digits: those that the largest asks for. @param {number} value @param {number} most */
export function alike(value, most) {
  const digits = Math.min(Math.abs(most) < 0.01 ? 6 : 3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(most) || 1))));
  return value.toFixed(digits).replace("-", "−");
}

const SHAPES = { sharp: "●", fair: "◐", doubtful: "○" };

/** @param {"sharp" | "fair" | "doubtful"} word @param {string} told @returns {Verdict} */
function verdict(word, told) {
  return { word, shape: SHAPES[word], told };
}

/** How well an icon shows its own group. @param {number} cosine @param {number} rank @returns {Verdict | null} */
export function fidelity(cosine, rank) {
  if (!Number.isFinite(cosine)) return null;
  const told =
    `The icon, read again by the network, points like the group it stands for: cosine ${figure(cosine)}. ` +
    (rank === 1
      ? "No other group is nearer."
      : rank > 1
        ? `${several(rank - 1, "other group")} ${rank === 2 ? "is" : "are"} nearer.`
        : "");
  if (cosine >= 0.9 && rank <= 1) return verdict("sharp", told);
  return verdict(cosine >= 0.7 && rank <= 5 ? "fair" : "doubtful", told);
}

/** How truly the map shows the surroundings of a cell. @param {number} recall @param {number} stretch @returns {Verdict | null} */
export function distortion(recall, stretch) {
  if (!Number.isFinite(recall) && !Number.isFinite(stretch)) return null;
  const away = Number.isFinite(stretch) ? Math.abs(stretch) : 0;
  const kept = Number.isFinite(recall) ? recall : 1;
  const times = figure(2 ** away);
  const told =
    (Number.isFinite(recall)
      ? `Of the true neighbours of its points ${Math.round(recall * 100)}% are near them on the map. `
      : "") +
    (Number.isFinite(stretch)
      ? away < 0.07
        ? "It takes as much room as is usual."
        : `The map is ${stretch > 0 ? "stretched" : "squeezed"} ${times} times here.`
      : "");
  if (away <= 1.5 && kept >= 0.2) return verdict("sharp", told);
  return verdict(away <= 3 && kept >= 0.1 ? "fair" : "doubtful", told);
}

/** @param {Level} level @param {number} cell @returns {string} */
export function clusterName(level, cell) {
  const cluster = level.cluster ? level.clusters[level.cluster[cell]] : undefined;
  return cluster ? visible(cluster[0]) : "";
}

/**
 * The class, or the text, that a cell is surely of; empty where none is.
 * @param {Level} level
 * @param {number} cell
 * @param {string[]} classes
 */
export function labelName(level, cell, classes) {
  const label = level.label(cell);
  return label < 0 ? "" : visible((level.facts.texts || classes)[label]);
}

/**
 * What a cell is called: after its cluster, else its class, else its place.
 * @param {Level} level
 * @param {number} cell
 * @param {string[]} classes
 */
export function cellName(level, cell, classes) {
  return (
    clusterName(level, cell) ||
    labelName(level, cell, classes) ||
    `Row ${level.row[cell] + 1}, column ${level.column[cell] + 1}`
  );
}

/** One sentence for a screen reader. @param {Level} level @param {number} cell @param {string[]} classes @returns {string} */
export function sentence(level, cell, classes) {
  const [group] = level.groups(cell);
  const names = level.facts.texts || classes;
  const parts = [
    shortened(cellName(level, cell, classes), 80),
    `row ${level.row[cell] + 1}, column ${level.column[cell] + 1} of ${level.size}`,
    several(level.points[cell], "point"),
  ];
  if (group && group.claimed !== null)
    parts.push(group.claimed ? `surely ${shortened(visible(names[group.classes[0]]), 80)}` : "no reliable label");
  const icon = group ? fidelity(group.fidelity, group.rank) : null;
  const place = distortion(level.recall[cell], level.stretch[cell]);
  if (icon) parts.push(`icon ${icon.word}`);
  if (place) parts.push(`place ${place.word}`);
  return `${parts.join(", ")}.`;
}
