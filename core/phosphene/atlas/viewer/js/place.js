// The view as an address, so that it can be shared. Its content is untrusted.

/** @typedef {{ layer: string, size: number, row: number, column: number }} CellPlace */
/**
 * @typedef {{ layers: string[], x: number, y: number, zoom: number, level: number, pin: CellPlace, other: CellPlace, filter: string, overlay: string, theme: string }} Place
 */

/** @param {CellPlace} cell */
function cellText(cell) {
  return `${cell.size}.${cell.row}.${cell.column}.${cell.layer}`;
}

/** @param {string | null} text @returns {CellPlace | undefined} */
function cellFrom(text) {
  const found = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})\.([^]*)$/.exec(text || "");
  return found ? { size: Number(found[1]), row: Number(found[2]), column: Number(found[3]), layer: found[4] } : undefined;
}

/** @param {Partial<Place>} place @returns {string} */
export function toHash(place) {
  const words = new URLSearchParams();
  for (const layer of place.layers || []) words.append("layer", layer);
  for (const name of /** @type {const} */ (["x", "y", "zoom", "level"])) {
    const value = place[name];
    if (value !== undefined) words.set(name, String(Number(value.toFixed(4))));
  }
  if (place.pin) words.set("cell", cellText(place.pin));
  if (place.other) words.set("with", cellText(place.other));
  if (place.filter) words.set("only", place.filter);
  if (place.overlay) words.set("show", place.overlay);
  if (place.theme) words.set("theme", place.theme);
  return `#${words}`;
}

/** @param {string} hash @returns {Partial<Place>} */
export function fromHash(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Partial<Place>} */
  const found = {};
  for (const name of /** @type {const} */ (["x", "y", "zoom", "level"])) {
    const text = words.get(name);
    if (text && Number.isFinite(Number(text))) found[name] = Number(text);
  }
  const layers = words.getAll("layer").slice(0, 8);
  if (layers.length) found.layers = layers;
  const pin = cellFrom(words.get("cell"));
  const other = cellFrom(words.get("with"));
  if (pin) found.pin = pin;
  if (pin && other) found.other = other;
  found.filter = words.get("only") || undefined;
  found.overlay = words.get("show") || undefined;
  const theme = words.get("theme");
  if (theme === "dark" || theme === "light") found.theme = theme;
  return found;
}
