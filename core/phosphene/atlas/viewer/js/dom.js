// Creation of elements; text is always inserted as text, never as markup.

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * @param {string} label
 * @param {(event: MouseEvent) => void} act
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLButtonElement}
 */
export function button(label, act, attributes = {}, ...children) {
  const made = document.createElement("button");
  made.type = "button";
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (children.length) {
    made.setAttribute("aria-label", label);
    made.append(...children);
  } else made.append(label);
  made.addEventListener("click", act);
  return made;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no element ${id}`);
  return found;
}

/** @param {number} width @param {number} height @param {string} [label] @returns {HTMLCanvasElement} */
export function canvas(width, height, label) {
  const made = document.createElement("canvas");
  made.width = width;
  made.height = height;
  if (label) {
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", label);
  } else made.setAttribute("aria-hidden", "true");
  return made;
}

/** @param {HTMLCanvasElement} made @param {boolean} [clear] whether it is transparent @returns {CanvasRenderingContext2D} */
export function pen(made, clear = true) {
  const found = made.getContext("2d", { alpha: clear });
  if (!found) throw new Error("this browser does not support drawing on a canvas");
  return found;
}
