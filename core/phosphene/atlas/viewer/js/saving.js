// Export of a cell: as JSON to the clipboard, or as a picture.
import { canvas, el, pen } from "./dom.js";
import { cellName, distortion, fidelity, several, shortened, visible } from "./words.js";

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./marks.js").Spot} Spot */

/** Maximum number of images listed. */
const MOST = 200;

/** @param {number} value */
function plain(value) {
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
}

/**
 * A cell as plain data, with unmodified names and numbers.
 * @param {Spot} spot
 * @param {Layer} layer
 * @param {string[]} classes
 * @param {number[] | null} images
 */
export function asData(spot, layer, classes, images) {
  const level = layer.levels[spot.depth];
  const names = level.facts.texts || classes;
  const icon = level.groups(spot.cell)[0];
  return {
    layer: layer.name,
    level: level.size,
    row: level.row[spot.cell],
    column: level.column[spot.cell],
    points: level.points[spot.cell],
    images: images ? { count: images.length, numbers: images.slice(0, MOST) } : { count: level.images[spot.cell] },
    cluster: level.cluster ? (level.clusters[level.cluster[spot.cell]]?.[0] ?? null) : null,
    verdicts: {
      icon: icon ? (fidelity(icon.fidelity, icon.rank)?.word ?? null) : null,
      place: distortion(level.recall[spot.cell], level.stretch[spot.cell])?.word ?? null,
    },
    recall: plain(level.recall[spot.cell]),
    stretch: plain(level.stretch[spot.cell]),
    split_half: plain(level.splitHalf[spot.cell]),
    groups: level.groups(spot.cell).map((group) => ({
      points: group.count,
      fidelity: plain(group.fidelity),
      rank: group.rank || null,
      reliable_label: group.claimed,
      classes: group.classes.map((number, place) => ({
        name: names[number] ?? String(number),
        evidence: plain(group.evidence[place]),
      })),
      margin: plain(group.margin),
      interval: [plain(group.low), plain(group.high)],
      purity: plain(group.purity),
    })),
    neighbours: level.neighbours(spot.cell).map((cell) => ({ row: level.row[cell], column: level.column[cell] })),
  };
}

/** Copies text to the clipboard, by a text box in frames without permission. @param {string} text @returns {Promise<boolean>} */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = /** @type {HTMLTextAreaElement} */ (el("textarea", { readonly: "", class: "unseen", "aria-hidden": "true" }));
    const before = document.activeElement;
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}

/**
 * The card of a cell as a PNG file.
 * @param {Spot} spot
 * @param {Layer} layer
 * @param {string[]} classes
 * @param {import("./thumbs.js").Thumbs} thumbs
 * @param {import("./colour.js").Ink} ink
 * @param {string} title
 */
export async function savePicture(spot, layer, classes, thumbs, ink, title) {
  const level = layer.levels[spot.depth];
  const side = 640,
    foot = 132;
  const made = canvas(side, side + foot);
  const g = pen(made, false);
  g.fillStyle = ink.ground;
  g.fillRect(0, 0, side, side + foot);
  const groups = level.groups(spot.cell).filter((group, number) => number === 0 || group.further > 0);
  const across = groups.length > 1 ? 2 : 1;
  const pictures = groups.map((group) => thumbs.icon(layer, level, spot.cell, group, side / across, ""));
  await Promise.all(pictures.map((picture) => thumbs.drawn.get(picture)));
  pictures.forEach((picture, place) =>
    g.drawImage(picture, ((place % 2) * side) / across, (Math.floor(place / 2) * side) / across),
  );
  /** @param {string} text @param {number} y @param {string} font @param {string} color */
  const line = (text, y, font, color) => {
    g.font = font;
    g.fillStyle = color;
    g.fillText(text, 24, y, side - 48);
  };
  const [first] = groups;
  const label =
    first && first.claimed
      ? `label ${visible((level.facts.texts || classes)[first.classes[0]])}`
      : first && first.claimed === false
        ? "no reliable label"
        : "";
  const words = [
    first ? fidelity(first.fidelity, first.rank)?.word : undefined,
    distortion(level.recall[spot.cell], level.stretch[spot.cell])?.word,
  ];
  line(shortened(cellName(level, spot.cell, classes), 44), side + 40, "650 26px Inter, system-ui, sans-serif", ink.text);
  line(
    [
      several(level.points[spot.cell], "point"),
      shortened(label, 40),
      words[0] && `icon ${words[0]}`,
      words[1] && `place ${words[1]}`,
    ]
      .filter(Boolean)
      .join(" · "),
    side + 74,
    "17px Inter, system-ui, sans-serif",
    ink.text,
  );
  line(
    `${shortened(visible(title), 30)} · ${shortened(visible(layer.name), 30)} · row ${level.row[spot.cell] + 1}, column ${level.column[spot.cell] + 1} of ${level.size}`,
    side + 104,
    "15px Inter, system-ui, sans-serif",
    ink.muted,
  );
  const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ done) => made.toBlob(done, "image/png"));
  if (!blob) throw new Error("the picture could not be made");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${fileName(layer.name)}-${level.size}-${level.row[spot.cell]}-${level.column[spot.cell]}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {string} text */
function fileName(text) {
  return text.replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60) || "cell";
}
