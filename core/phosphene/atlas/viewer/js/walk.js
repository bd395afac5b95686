// Moves from cell to cell with the arrow keys, and finds the same place on another level.

/** @typedef {import("./layer.js").Layer} Layer */
/** @typedef {import("./layer.js").Level} Level */

/** Penalty for the lateral distance of a cell. */
const ASIDE = 2.5;

/**
 * The nearest cell in a direction, or -1 at the edge.
 * @param {Level} level
 * @param {number} from
 * @param {number} dx
 * @param {number} dy
 * @returns {number}
 */
export function stepFrom(level, from, dx, dy) {
  let best = -1;
  let least = Infinity;
  for (let cell = 0; cell < level.count; cell++) {
    const x = level.column[cell] - level.column[from],
      y = level.row[cell] - level.row[from];
    const along = x * dx + y * dy;
    if (along <= 0) continue;
    const cost = along + ASIDE * (Math.abs(x * dy) + Math.abs(y * dx));
    if (cost < least) {
      least = cost;
      best = cell;
    }
  }
  return best;
}

/**
 * The cell of another level at the place of a cell, or the nearest to it.
 * @param {Layer} layer
 * @param {number} from
 * @param {number} cell
 * @param {number} to
 * @returns {number}
 */
export function onLevel(layer, from, cell, to) {
  if (from === to) return cell;
  const [x, y] = layer.levels[from].centre(cell);
  const found = layer.levels[to].cellAt(x, y);
  return found >= 0 ? found : layer.levels[to].nearestTo(x, y);
}

/** The cell at a row and column, or -1 if there is none. @param {Level} level @param {number} row @param {number} column */
export function cellOf(level, row, column) {
  return row < level.size && column < level.size ? level.at[row * level.size + column] : -1;
}
