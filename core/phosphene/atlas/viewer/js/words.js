// Texts about a cell, for the page and for screen readers.

/** @typedef {import("./layer.js").Level} Level */
/** @typedef {import("./layer.js").Group} Group */
/** @typedef {{ word: string, shape: string, told: string }} Verdict */

/** Characters that are invisible or change the direction of text, and halves of surrogate pairs. */
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Surrogate}]/gu;

/** Text with invisible characters made visible, so that a name cannot imitate another. @param {unknown} text @returns {string} */
export function visible(text) {
  return String(text).replace(UNSEEN, (sign) => `⟨U+${sign.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}⟩`);
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

/** About three significant digits, with a typographic minus. @param {number} value @returns {string} */
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

/** Numbers in a column with equally many decimals, as needed for the largest. @param {number} value @param {number} most */
export function alike(value, most) {
  const digits = Math.min(Math.abs(most) < 0.01 ? 6 : 3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(most) || 1))));
  return value.toFixed(digits).replace("-", "−");
}

const SHAPES = { sharp: "●", fair: "◐", doubtful: "○" };

/** @param {"sharp" | "fair" | "doubtful"} word @param {string} told @returns {Verdict} */
function verdict(word, told) {
  return { word, shape: SHAPES[word], told };
}

/** How well an icon shows its group. @param {number} cosine @param {number} rank @returns {Verdict | null} */
export function fidelity(cosine, rank) {
  if (!Number.isFinite(cosine)) return null;
  const told =
    `Cosine between the activation of the icon and the mean of its group: ${figure(cosine)}. ` +
    (rank === 1
      ? "No other group is nearer."
      : rank > 1
        ? `${several(rank - 1, "other group")} ${rank === 2 ? "is" : "are"} nearer.`
        : "");
  if (cosine >= 0.9 && rank <= 1) return verdict("sharp", told);
  return verdict(cosine >= 0.7 && rank <= 5 ? "fair" : "doubtful", told);
}

/** How well the map preserves the neighbourhood of a cell. @param {number} recall @param {number} stretch @returns {Verdict | null} */
export function distortion(recall, stretch) {
  if (!Number.isFinite(recall) && !Number.isFinite(stretch)) return null;
  const away = Number.isFinite(stretch) ? Math.abs(stretch) : 0;
  const kept = Number.isFinite(recall) ? recall : 1;
  const times = figure(2 ** away);
  const told =
    (Number.isFinite(recall)
      ? `${Math.round(recall * 100)}% of the true neighbours of its points are neighbours on the map. `
      : "") +
    (Number.isFinite(stretch)
      ? away < 0.07
        ? "The map is not distorted here."
        : `The map is ${stretch > 0 ? "stretched" : "compressed"} by a factor of ${times} here.`
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
 * The label of a cell, a class or a text; empty without a reliable label.
 * @param {Level} level
 * @param {number} cell
 * @param {string[]} classes
 */
export function labelName(level, cell, classes) {
  const label = level.label(cell);
  return label < 0 ? "" : visible((level.facts.texts || classes)[label]);
}

/**
 * The name of a cell: that of its cluster, else of its label, else its place.
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
    parts.push(group.claimed ? `label ${shortened(visible(names[group.classes[0]]), 80)}` : "no reliable label");
  const icon = group ? fidelity(group.fidelity, group.rank) : null;
  const place = distortion(level.recall[cell], level.stretch[cell]);
  if (icon) parts.push(`icon ${icon.word}`);
  if (place) parts.push(`place ${place.word}`);
  return `${parts.join(", ")}.`;
}
