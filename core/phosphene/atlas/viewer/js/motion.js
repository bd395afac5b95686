// For benchmarks and tests: scripted motion at every frame, and the current state of the page.

/** @typedef {import("./app.js").App} App */

/**
 * Pans over the map at the finest levels, or zooms through all levels and back.
 * @param {App} app
 * @param {"pan" | "zoom"} kind
 * @param {number} time milliseconds
 * @returns {Promise<{ frames: number, perSecond: number, slow: number }>}
 */
export function measure(app, kind, time) {
  const { camera, meter } = app;
  const near = Math.min(camera.most, camera.finest * 60);
  const doublings = Math.log2(near / camera.whole);
  return new Promise((done) => {
    let begin = 0;
    meter.start();
    app.flying = (now) => {
      begin ||= now;
      const part = (now - begin) / time;
      const turn = 2 * Math.PI * part;
      if (kind === "pan") camera.set({ x: 0.5 + 0.3 * Math.cos(turn), y: 0.5 + 0.3 * Math.sin(1.3 * turn), scale: near });
      else camera.set({ x: 0.45, y: 0.5, scale: camera.whole * 2 ** ((doublings * (1 - Math.cos(2 * turn))) / 2) });
      if (part < 1) return true;
      done(meter.stop());
      return false;
    };
    app.ask();
  });
}

/** The current state, as plain data. @param {App} app */
export function stateOf(app) {
  const { hover, focus, pin, other, comparing, read } = app.reading;
  return {
    camera: app.camera.pose,
    zoom: app.camera.zoom,
    hover,
    focus,
    pin,
    other,
    comparing,
    panels: app.panels.map(({ layer, goal, fade, painter }) => ({
      layer: layer.name,
      level: layer.levels[goal].size,
      fade,
      drawn: painter.drawn,
      missing: painter.missing,
      same: read && read.layer !== layer.index ? [...(app.sameImages(hover || read, layer.index, goal) || [])] : [],
    })),
  };
}
