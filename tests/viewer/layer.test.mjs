import assert from "node:assert/strict";
import test from "node:test";
import { columnsOf, fromBase64, fromThousandths } from "../../core/phosphene/atlas/viewer/js/bytes.js";
import { Layer, Level } from "../../core/phosphene/atlas/viewer/js/layer.js";
import { Images } from "../../core/phosphene/atlas/viewer/js/linking.js";
import { Shade } from "../../core/phosphene/atlas/viewer/js/shade.js";
import { onLevel, stepFrom } from "../../core/phosphene/atlas/viewer/js/walk.js";

/** Four cells of a 2 x 2 level over their 4 x 4 level; a point in the middle of each fine cell. */
function layer(name, index) {
  const facts = {
    name,
    scale: 64,
    outliers: 0,
    width: 1,
    window: 1,
    patches: null,
    columns: [],
    data: "",
    levels: [2, 4].map((size) => ({ size, cells: size * size, blocks: { side: 0, first: [0] } })),
  };
  const columns = new Map();
  for (const size of [2, 4]) {
    const cells = [...Array(size * size).keys()];
    columns.set(
      `${size}.row`,
      Uint8Array.from(cells, (cell) => Math.floor(cell / size)),
    );
    columns.set(
      `${size}.column`,
      Uint8Array.from(cells, (cell) => cell % size),
    );
    columns.set(
      `${size}.count`,
      Uint8Array.from(cells, () => 16 / size ** 2),
    );
    columns.set(`${size}.groups`, Uint32Array.from([...cells, size * size]));
    columns.set(
      `${size}.group.class`,
      Uint16Array.from(cells, (cell) => cell % 3),
    );
    columns.set(
      `${size}.group.claimed`,
      Uint8Array.from(cells, (cell) => cell % 2),
    );
  }
  columns.set(
    "x",
    Uint16Array.from([...Array(16).keys()], (i) => (i % 4) * 16 + 8),
  );
  columns.set(
    "y",
    Uint16Array.from([...Array(16).keys()], (i) => Math.floor(i / 4) * 16 + 8),
  );
  return new Layer(index, facts, columns);
}

test("a cell of a coarse level holds the points of four fine ones", () => {
  const made = layer("a", 0);
  assert.deepEqual(
    made.members(made.levels[0], 1).sort((a, b) => a - b),
    [2, 3, 6, 7],
  );
  assert.deepEqual(made.members(made.levels[1], 5), [5]);
});

test("cells of another layer hold the same images", () => {
  const one = layer("a", 0),
    two = layer("b", 1);
  two.x[0] = 65535; // outside the map
  const images = new Images(
    Uint8Array.from([...Array(16).keys()], (i) => i >> 1),
    Uint16Array.from([...Array(8).keys()], (i) => 100 + i),
  );
  const held = images.of(one, one.levels[1], 2);
  assert.deepEqual([...held], [1]);
  assert.deepEqual(
    [...images.cells(held, two, two.levels[1])],
    [
      [2, 1],
      [3, 1],
    ],
  );
  assert.deepEqual([...images.cells(new Set([0]), two, two.levels[0])], [[0, 1]]);
  assert.deepEqual(images.numbers([3, 1]), [101, 103]);
});

test("steps go to the nearest cell in a direction, and a place is found on another level", () => {
  const made = layer("a", 0),
    [coarse, fine] = made.levels;
  assert.equal(stepFrom(fine, 5, 1, 0), 6);
  assert.equal(stepFrom(fine, 5, 0, -1), 1);
  assert.equal(stepFrom(fine, 3, 1, 0), -1);
  assert.equal(onLevel(made, 1, 15, 0), 3);
  assert.equal(coarse.nearestTo(0.9, 0.1), 1);
  assert.equal(coarse.cellAt(1.2, 0.5), -1);
});

test("a filter keeps the cells of a class, on all levels", () => {
  const made = layer("a", 0),
    shade = new Shade();
  assert.equal(shade.mask(made, 0), null);
  shade.filter = { kind: "class", number: 1 };
  shade.changed();
  assert.deepEqual([...shade.mask(made, 0)], [0, 1, 0, 0]);
  assert.equal(made.levels[0].label(1), 1);
  assert.equal(made.levels[0].label(0), -1);
});

test("columns are views into one buffer", () => {
  const buffer = new ArrayBuffer(16);
  new Int16Array(buffer, 8, 2).set([-32768, 1500]);
  const found = columnsOf(buffer, [
    ["a", "uint8", 0, 3],
    ["b", "int16", 8, 2],
  ]);
  assert.deepEqual([...fromThousandths(found.get("b"), 2)], [NaN, 1.5]);
  assert.throws(() => columnsOf(buffer, [["a", "float16", 0, 1]]), /unknown type/);
  assert.deepEqual([...fromBase64("AQL/")], [1, 2, 255]);
  assert.ok(Level);
});
