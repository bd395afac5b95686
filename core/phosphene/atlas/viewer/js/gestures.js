// Wheel, drag, pinch, tap and double click on a map, translated to actions.

/** Movement in pixels below which a press is a tap. */
const TAP = 6;

/** Change of the scale by one notch of a wheel, and by a pinch on a touchpad. */
const WHEEL = 0.0022,
  TOUCHPAD = 0.01;

/**
 * @typedef {object} Hands
 * @property {(dx: number, dy: number) => void} pan
 * @property {(factor: number, x: number, y: number, gently: boolean) => void} zoom
 * @property {(x: number, y: number) => void} tap
 * @property {(x: number, y: number) => void} hover
 * @property {() => void} leave
 * @property {() => void} grab
 * @property {() => boolean} wheel whether the wheel event may be handled
 */

/** @param {HTMLElement} target @param {Hands} hands */
export function listen(target, hands) {
  /** @type {Map<number, { x: number, y: number }>} */
  const down = new Map();
  let moved = 0;
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    target.setPointerCapture(event.pointerId);
    if (!down.size) moved = 0;
    down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    hands.grab();
  });
  target.addEventListener("pointermove", (event) => {
    const { offsetX: x, offsetY: y } = event;
    const last = down.get(event.pointerId);
    if (!last) {
      if (event.pointerType !== "touch") hands.hover(x, y);
      return;
    }
    moved += Math.abs(x - last.x) + Math.abs(y - last.y);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      moved = Infinity;
      const before = Math.hypot(last.x - other.x, last.y - other.y),
        after = Math.hypot(x - other.x, y - other.y);
      hands.zoom(after / Math.max(1, before), (x + other.x) / 2, (y + other.y) / 2, false);
      hands.pan((x - last.x) / 2, (y - last.y) / 2);
    } else if (moved >= TAP) hands.pan(x - last.x, y - last.y);
    down.set(event.pointerId, { x, y });
  });
  target.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId)) return;
    if (moved < TAP && !down.size) hands.tap(event.offsetX, event.offsetY);
  });
  target.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
  });
  target.addEventListener("pointerleave", () => {
    if (!down.size) hands.leave();
  });
  target.addEventListener(
    "wheel",
    (event) => {
      if (!hands.wheel()) return;
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      const turn = Math.max(-240, Math.min(240, event.deltaY * unit));
      hands.zoom(Math.exp(-turn * (event.ctrlKey ? TOUCHPAD : WHEEL)), event.offsetX, event.offsetY, false);
    },
    { passive: false },
  );
  target.addEventListener("dblclick", (event) => hands.zoom(event.shiftKey ? 0.5 : 2, event.offsetX, event.offsetY, true));
}
