import assert from "node:assert/strict";
import test from "node:test";
import { fromHash, toHash } from "../../core/phosphene/atlas/viewer/js/place.js";

test("what is written is read again, whatever names say", () => {
  const layer = "b/=&#;+ %41 \u202e<img src=x onerror=alert(1)>\n\u{1f40c}";
  const place = {
    layers: ["a", layer],
    x: 0.25,
    y: 0.5,
    zoom: 1.5,
    level: 40,
    pin: { layer, size: 40, row: 3, column: 0 },
    other: { layer: "a", size: 20, row: 1, column: 2 },
    filter: `class.${layer}`,
    overlay: "density",
    theme: "dark",
  };
  assert.deepEqual(fromHash(toHash(place)), place);
});

test("an address is not trusted", () => {
  for (const hash of [
    "",
    "#",
    "#x=NaN&y=Infinity&zoom=1e999",
    "#cell=1.2&theme=blue",
    "#cell=-1.0.0.a",
    "#%E0%A4%A",
    "#cell=99999.1.1.a",
  ]) {
    const found = fromHash(hash);
    assert.deepEqual([found.x, found.y, found.zoom, found.pin, found.theme], Array(5).fill(undefined), hash);
  }
  assert.equal(fromHash("#with=4.1.1.a").other, undefined);
  assert.equal(fromHash(`#${"layer=a&".repeat(100)}`).layers.length, 8);
});
