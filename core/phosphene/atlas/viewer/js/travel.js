// Navigation: animated flights, levels, and the whole map.
import { clamp, flight } from "./camera.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./camera.js").Pose} Pose */
/** @typedef {import("./marks.js").Spot} Spot */

/** Maximum width of a cell in pixels for the coarsest level to be shown initially. */
const LARGE = 110;

export class Travel {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  /** @param {Pose} to @param {() => void} [then] */
  fly(to, then = () => {}) {
    const finish = () => {
      this.app.camera.set(to);
      this.app.stir();
      for (const panel of this.app.panels) panel.aim();
      then();
    };
    if (this.app.still.matches) {
      finish();
      return;
    }
    const view = Math.min(this.app.camera.width, this.app.camera.height);
    const way = flight(this.app.camera.pose, to, view);
    const time = clamp(way.length * 420, 160, 2200);
    let begin = 0;
    this.app.flying = (now) => {
      begin ||= now;
      const part = Math.min(1, (now - begin) / time);
      if (part >= 1) {
        this.app.flying = null;
        finish();
        return false;
      }
      this.app.camera.set(way.at(part * part * (3 - 2 * part)));
      return true;
    };
    this.app.stir();
  }

  /** @param {Spot} spot */
  flyTo(spot) {
    const level = this.app.layers[spot.layer]?.levels[spot.depth];
    if (!level) return;
    const [x, y] = level.centre(spot.cell);
    const scale = clamp(this.app.camera.scale, level.size * 42, level.size * 96);
    this.fly({ x, y, scale: Math.max(scale, Math.min(this.app.camera.scale, level.size * 96)) });
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.fly(this.app.camera.zoomed(factor, this.app.camera.width / 2, this.app.camera.height / 2));
  }

  /** @param {number} depth */
  toLevel(depth) {
    const level = this.app.current.layer.levels[depth];
    this.hold(depth, clamp(this.app.camera.scale, level.size * 30, level.size * 160));
    this.app.voice.say(`Level of ${level.size} by ${level.size} cells.`);
  }

  /** Moves to a scale, if needed, and keeps a level there. @param {number} depth @param {number} scale */
  hold(depth, scale) {
    const keep = () => {
      for (const panel of this.app.panels) panel.held = { depth, scale: this.app.camera.scale };
      this.app.stir();
    };
    if (scale === this.app.camera.scale) keep();
    else this.fly({ ...this.app.camera.pose, scale }, keep);
  }

  /**
   * Shows the whole map, on the coarsest level unless its cells would be too large.
   * @param {boolean} gently
   */
  wholeMap(gently) {
    const keep = () => {
      for (const panel of this.app.panels) {
        panel.held =
          this.app.camera.whole / panel.layer.levels[0].size <= LARGE ? { depth: 0, scale: this.app.camera.whole } : null;
        panel.aim();
      }
      this.app.ask();
    };
    if (gently) this.fly(this.app.camera.fit(), keep);
    else {
      this.app.camera.set(this.app.camera.fit());
      keep();
    }
  }
}
