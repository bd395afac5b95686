// Colours of the stylesheet, and scales that are readable with colour blindness.

/** @typedef {[number, number, number]} Rgb */
/**
 * @typedef {{ ground: string, text: string, accent: string, bar: string, muted: string, haze: Rgb, hazeStrength: number, dot: string, dark: boolean }} Ink
 */

/** Cividis (Nunez, Anderton and Renslow 2018): perceptually uniform, also with red-green blindness. @type {Rgb[]} */
const CIVIDIS = [
  [0, 32, 77],
  [0, 51, 111],
  [57, 72, 107],
  [87, 93, 109],
  [112, 113, 115],
  [138, 134, 120],
  [166, 157, 117],
  [196, 181, 108],
  [228, 207, 91],
  [255, 234, 70],
];

/** Blue for negative, amber for positive; the middle is the background. @type {Record<"dark" | "light", Rgb[]>} */
const SIGNED = {
  dark: [
    [120, 190, 255],
    [52, 110, 180],
    [30, 34, 42],
    [176, 118, 20],
    [255, 199, 82],
  ],
  light: [
    [6, 78, 140],
    [96, 158, 208],
    [238, 235, 228],
    [222, 140, 66],
    [160, 56, 0],
  ],
};

/** @param {Rgb[]} stops @param {number} value in 0..1 @returns {Rgb} */
function between(stops, value) {
  const place = Math.min(1, Math.max(0, value)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(place));
  const part = place - i;
  return /** @type {Rgb} */ (stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * part)));
}

/** @param {number} value in 0..1 @returns {Rgb} */
export function sequential(value) {
  return between(CIVIDIS, value);
}

/** @param {number} value in -1..1 @param {boolean} dark @returns {Rgb} */
export function signed(value, dark) {
  return between(SIGNED[dark ? "dark" : "light"], (value + 1) / 2);
}

/** Current colours of the stylesheet. @returns {Ink} */
export function readInk() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ground: read("--ground"),
    text: read("--text"),
    accent: read("--accent"),
    bar: read("--bar"),
    muted: read("--muted"),
    dot: read("--dot"),
    haze: /** @type {Rgb} */ (read("--haze").split(",").map(Number)),
    hazeStrength: Number(read("--haze-strength")),
    dark: document.documentElement.dataset.theme === "dark",
  };
}
