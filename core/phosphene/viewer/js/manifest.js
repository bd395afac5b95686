// What the manifest of a page says, as types; and how many of what it says there may be.

/** @typedef {[name: string, count: number, x: number, y: number, parent: number, claimed: number]} ClusterFacts */
/** @typedef {{ side: number, first: number[] }} Series */
/**
 * @typedef {object} LevelFacts
 * @property {number} size cells along a side
 * @property {number} cells
 * @property {Series} blocks
 * @property {Series | null} [further]
 * @property {ClusterFacts[]} [clusters]
 * @property {number} [heat] evidence that 127 stands for
 * @property {string[]} [texts] names of its labels where they are not classes
 * @property {"class" | "text" | "region" | ""} [colours] what the colours of its cells are of, where it has no pictures
 */
/**
 * @typedef {object} LayerFacts
 * @property {string} name
 * @property {number} source which atlas it is of
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

/** Pictures in a row of a sheet, and cells along a side of the block that it shows. */
export const ACROSS = 12;

/** Neighbours of a cell that are shown. */
export const NEAREST = 6;

/** Patches of a group. */
export const PATCHES = 4;
