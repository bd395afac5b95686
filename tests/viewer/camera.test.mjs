import assert from "node:assert/strict";
import test from "node:test";
import { Camera, flight } from "../../core/phosphene/atlas/viewer/js/camera.js";

test("a zoom keeps the point under the pointer", () => {
  const camera = new Camera(80);
  camera.resize(900, 700);
  camera.set({ x: 0.4, y: 0.55, scale: 900 });
  const before = [camera.toMapX(300), camera.toMapY(200)];
  camera.set(camera.zoomed(1.7, 300, 200));
  assert.ok(Math.abs(camera.toMapX(300) - before[0]) < 1e-12 && Math.abs(camera.toMapY(200) - before[1]) < 1e-12);
});

test("the camera stays near the map", () => {
  const camera = new Camera(10);
  camera.resize(400, 400);
  camera.set({ x: 9, y: -3, scale: 1e9 });
  assert.deepEqual([camera.x, camera.y, camera.scale], [1, 0, camera.most]);
  camera.set(camera.zoomed(1e-9, 200, 200));
  assert.equal(camera.scale, camera.least);
});

test("another size of the window keeps place and zoom", () => {
  const camera = new Camera(40);
  camera.resize(1000, 800);
  camera.set({ x: 0.3, y: 0.6, scale: camera.whole * 4 });
  camera.resize(300, 500);
  assert.ok(Math.abs(camera.zoom - 2) < 1e-12 && camera.x === 0.3);
});

test("a flight begins and ends where it should, and rises in between", () => {
  for (const [from, to] of [
    [
      { x: 0.1, y: 0.2, scale: 5000 },
      { x: 0.9, y: 0.7, scale: 3000 },
    ],
    [
      { x: 0.5, y: 0.5, scale: 600 },
      { x: 0.5, y: 0.5, scale: 9000 },
    ],
    [
      { x: 0.5, y: 0.5, scale: 600 },
      { x: 0.5, y: 0.5, scale: 600 },
    ],
  ]) {
    const way = flight(from, to, 800);
    for (const [part, wanted] of [
      [0, from],
      [1, to],
    ]) {
      const found = way.at(part);
      for (const key of ["x", "y", "scale"])
        assert.ok(Math.abs(found[key] - wanted[key]) < 1e-6 * Math.max(1, wanted[key]), `${key} at ${part}`);
    }
    assert.ok(Number.isFinite(way.length) && way.length >= 0);
  }
  assert.ok(flight({ x: 0.1, y: 0.2, scale: 5000 }, { x: 0.9, y: 0.7, scale: 3000 }, 800).at(0.5).scale < 3000);
});

test("the whole map is in view when it fits, and not once one has moved or zoomed", () => {
  const camera = new Camera(40);
  camera.resize(900, 700);
  camera.set(camera.fit());
  assert.ok(camera.complete);
  camera.set({ ...camera.fit(), x: 0 });
  assert.ok(!camera.complete);
  camera.set({ ...camera.fit(), scale: 2 * camera.whole });
  assert.ok(!camera.complete);
});
