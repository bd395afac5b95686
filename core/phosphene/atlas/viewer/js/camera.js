// The camera: the map is the unit square, and `scale` is its side in CSS pixels.

/** @typedef {{ x: number, y: number, scale: number }} Pose */

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** The largest cell of the finest level, in pixels. */
const LARGEST_CELL = 420;

/** Share of the free view that the whole map takes, and the height of the controls at the lower edge in pixels. */
const FIT = 0.96,
  CONTROLS = 66;

export class Camera {
  x = 0.5;
  y = 0.5;
  scale = 600;
  width = 800;
  height = 600;

  /** @param {number} finest cells per side of the finest level */
  constructor(finest) {
    this.finest = finest;
  }

  /** The scale at which the whole map is visible. */
  get whole() {
    return FIT * Math.max(1, Math.min(this.width, this.height - this.controls));
  }
  get controls() {
    return Math.min(CONTROLS, this.height / 6);
  }
  get least() {
    return 0.5 * this.whole;
  }
  get most() {
    return Math.max(this.whole, this.finest * LARGEST_CELL);
  }
  /** Doublings beyond the whole map. */
  get zoom() {
    return Math.log2(this.scale / this.whole);
  }
  /** Whether the whole map is visible. */
  get complete() {
    return this.toMapX(0) <= 0 && this.toMapX(this.width) >= 1 && this.toMapY(0) <= 0 && this.toMapY(this.height) >= 1;
  }
  /** @returns {Pose} */
  get pose() {
    return { x: this.x, y: this.y, scale: this.scale };
  }

  /** Resizes the view, keeping the place and the number of doublings. @param {number} width @param {number} height */
  resize(width, height) {
    const zoom = this.zoom;
    this.width = width;
    this.height = height;
    this.scale = clamp(this.whole * 2 ** zoom, this.least, this.most);
  }

  /** @param {Pose} pose */
  set(pose) {
    this.x = clamp(pose.x, 0, 1);
    this.y = clamp(pose.y, 0, 1);
    this.scale = clamp(pose.scale, this.least, this.most);
  }

  /** @returns {Pose} */
  fit() {
    return { x: 0.5, y: 0.5 + this.controls / 2 / this.whole, scale: this.whole };
  }

  /** @param {number} x */
  toScreenX(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }
  /** @param {number} y */
  toScreenY(y) {
    return (y - this.y) * this.scale + this.height / 2;
  }
  /** @param {number} x */
  toMapX(x) {
    return (x - this.width / 2) / this.scale + this.x;
  }
  /** @param {number} y */
  toMapY(y) {
    return (y - this.height / 2) / this.scale + this.y;
  }

  /** @param {number} dx @param {number} dy in pixels */
  pan(dx, dy) {
    this.set({ x: this.x - dx / this.scale, y: this.y - dy / this.scale, scale: this.scale });
  }

  /**
   * The pose after a zoom around a fixed point of the screen.
   * @param {number} factor
   * @param {number} sx
   * @param {number} sy
   * @returns {Pose}
   */
  zoomed(factor, sx, sy) {
    const scale = clamp(this.scale * factor, this.least, this.most);
    return { x: this.toMapX(sx) - (sx - this.width / 2) / scale, y: this.toMapY(sy) - (sy - this.height / 2) / scale, scale };
  }
}

/** How much a flight prefers zooming out to moving. */
const CURVE = 1.3;

/**
 * The smooth path between two poses (van Wijk and Nuij 2003): its length, and the pose after a share of it.
 * @param {Pose} from
 * @param {Pose} to
 * @param {number} view pixels
 * @returns {{ length: number, at: (part: number) => Pose }}
 */
export function flight(from, to, view) {
  const w0 = view / from.scale;
  const w1 = view / to.scale;
  const distance = Math.hypot(to.x - from.x, to.y - from.y);
  if (distance < 1e-6) {
    const length = Math.log(w1 / w0) / CURVE;
    return {
      length: Math.abs(length),
      at: (part) => ({
        x: from.x + (to.x - from.x) * part,
        y: from.y + (to.y - from.y) * part,
        scale: view / (w0 * Math.exp(CURVE * length * part)),
      }),
    };
  }
  const square = CURVE ** 2;
  const b0 = (w1 ** 2 - w0 ** 2 + (square * distance) ** 2) / (2 * w0 * square * distance);
  const b1 = (w1 ** 2 - w0 ** 2 - (square * distance) ** 2) / (2 * w1 * square * distance);
  const r0 = Math.asinh(-b0);
  const length = (Math.asinh(-b1) - r0) / CURVE;
  return {
    length,
    at: (part) => {
      const r = CURVE * part * length + r0;
      const moved = (w0 / (square * distance)) * (Math.cosh(r0) * Math.tanh(r) - Math.sinh(r0));
      return {
        x: from.x + moved * (to.x - from.x),
        y: from.y + moved * (to.y - from.y),
        scale: (view / w0) * (Math.cosh(r) / Math.cosh(r0)),
      };
    },
  };
}
