// The density of the points of a layer, as a soft picture beneath the cells.

/** @typedef {import("./layer.js").Layer} Layer */

/** Its side in pixels, its margin around the map (as a share of it), and the radius of smoothing. */
const SIDE = 320;
export const MARGIN = 0.125;
const RADIUS = 4;

/** Smoothed points per pixel, from 0 to 1; the square root makes sparse regions visible. @param {Layer} layer @returns {Float32Array} */
export function density(layer) {
  const found = new Float32Array(SIDE * SIDE);
  const times = SIDE / (1 + 2 * MARGIN);
  for (let i = 0; i < layer.x.length; i++) {
    if (layer.x[i] === 65535) continue;
    const x = Math.floor((layer.x[i] / layer.facts.scale + MARGIN) * times);
    found[Math.floor((layer.y[i] / layer.facts.scale + MARGIN) * times) * SIDE + x]++;
  }
  // Three box filters per axis approximate a Gaussian; each transposes the picture, so six restore its orientation.
  const turned = new Float32Array(SIDE * SIDE);
  for (let pass = 0; pass < 6; pass++) {
    for (let y = 0; y < SIDE; y++) {
      let sum = 0;
      for (let x = -RADIUS; x < SIDE; x++) {
        if (x + RADIUS < SIDE) sum += found[y * SIDE + x + RADIUS];
        if (x - RADIUS - 1 >= 0) sum -= found[y * SIDE + x - RADIUS - 1];
        if (x >= 0) turned[x * SIDE + y] = sum / (2 * RADIUS + 1);
      }
    }
    found.set(turned);
  }
  const most = found.reduce((high, value) => Math.max(high, value), 1e-9);
  return found.map((value) => Math.min(1, 1.15 * Math.sqrt(Math.max(0, value) / most)));
}

/** @param {Float32Array} values @param {import("./colour.js").Ink} ink @returns {Promise<ImageBitmap>} */
export function haze(values, ink) {
  const image = new ImageData(SIDE, SIDE);
  for (let i = 0; i < values.length; i++) {
    // Faint steps, as on a contour map.
    const step = (0.75 * Math.floor(values[i] * 9)) / 9 + 0.25 * values[i];
    image.data.set([...ink.haze, 255 * ink.hazeStrength * step], 4 * i);
  }
  return createImageBitmap(image);
}
