// Payload text to bytes, and bytes to typed columns.

/** @typedef {Int8Array | Uint8Array | Int16Array | Uint16Array | Uint32Array | Float32Array | Float64Array} Column */
/** @typedef {Map<string, Column>} Columns */
/** @typedef {[name: string, type: string, offset: number, length: number]} Place */

const TYPES = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};

/**
 * Base64 to bytes, by the native decoder if there is one.
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function fromBase64(text) {
  const native = /** @type {any} */ (Uint8Array).fromBase64;
  if (native) return native.call(Uint8Array, text);
  const plain = atob(text);
  const bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
  return bytes;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<ArrayBuffer>}
 */
export function gunzip(bytes) {
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/**
 * Typed views into one buffer, according to its directory.
 * @param {ArrayBuffer} buffer
 * @param {Place[]} directory
 * @returns {Columns}
 */
export function columnsOf(buffer, directory) {
  /** @type {Columns} */
  const found = new Map();
  for (const [name, type, offset, length] of directory) {
    const kind = TYPES[/** @type {keyof typeof TYPES} */ (type)];
    if (!kind) throw new Error(`column ${name} has an unknown type: ${type}`);
    found.set(name, new kind(buffer, offset, length));
  }
  return found;
}

/**
 * Thousandths to numbers; the smallest value stands for NaN.
 * @param {Column | undefined} column
 * @param {number} count
 * @returns {Float32Array}
 */
export function fromThousandths(column, count) {
  const found = new Float32Array(count).fill(NaN);
  if (column)
    column.forEach((value, i) => {
      if (value !== -32768) found[i] = value / 1000;
    });
  return found;
}
