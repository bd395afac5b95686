// Types of the manifest of a page, and constants shared with the writer.

/** @typedef {[name: string, count: number, x: number, y: number, parent: number, claimed: number]} ClusterFacts */
/** @typedef {{ side: number, first: number[] }} Series */
/**
 * @typedef {object} LevelFacts
 * @property {number} size cells per side
 * @property {number} cells
 * @property {Series} blocks
 * @property {Series | null} [further]
 * @property {ClusterFacts[]} [clusters]
 * @property {number} [heat] evidence that 127 stands for
 * @property {string[]} [texts] names of its labels, if they are not classes
 * @property {"class" | "text" | "region" | ""} [colours] meaning of the colours of its cells, if it has no pictures
 */
/**
 * @typedef {object} LayerFacts
 * @property {string} name
 * @property {number} source index of its atlas
 * @property {number} scale
 * @property {number} outliers
 * @property {number} width channels
 * @property {number} window
 * @property {string} [evidence]
 * @property {{ trustworthiness: number, continuity: number, recall: number }} [measures]
 * @property {LevelFacts[]} levels
 * @property {(Series & { across: number }) | null} patches
 * @property {import("./bytes.js").Place[]} columns
 * @property {string} data
 */
/**
 * @typedef {object} Manifest
 * @property {number} format
 * @property {string} title
 * @property {string[]} classes
 * @property {number} start
 * @property {LayerFacts[]} layers
 * @property {number} points
 * @property {{ columns: import("./bytes.js").Place[], data: string }[]} images of each atlas on the page
 * @property {string} network
 * @property {string} atlas
 * @property {Record<string, number>} blocks
 * @property {Record<string, string>} beside
 */

/** Pictures per row of a sheet, and cells per side of the block that it covers. */
export const ACROSS = 12;

/** Number of neighbours shown per cell. */
export const NEAREST = 6;

/** Maximum number of patches per group. */
export const PATCHES = 4;
