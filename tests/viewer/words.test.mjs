import assert from "node:assert/strict";
import test from "node:test";
import { match, ranked } from "../../core/phosphene/atlas/viewer/js/search.js";
import { alike, distortion, fidelity, figure, shortened, visible } from "../../core/phosphene/atlas/viewer/js/words.js";

test("what cannot be seen is shown", () => {
  assert.equal(visible("a\u202eb"), "a⟨U+202E⟩b");
  assert.equal(visible("\u0000\u200b\u2066x\ufeff"), "⟨U+0000⟩⟨U+200B⟩⟨U+2066⟩x⟨U+FEFF⟩");
  assert.equal(visible("a\u2028b\ud83dc\u{e0041}"), "a⟨U+2028⟩b⟨U+D83D⟩c⟨U+E0041⟩");
  assert.equal(visible("שלום 🐌 é <b>"), "שלום 🐌 é <b>");
});

test("names are cut between signs, not within one", () => {
  assert.equal(shortened("🐌🐌🐌🐌", 3), "🐌🐌…");
  assert.equal(shortened("abc", 3), "abc");
});

test("verdicts have a word and a shape each", () => {
  assert.deepEqual(
    [fidelity(0.95, 1), fidelity(0.95, 2), fidelity(0.75, 9)].map((each) => each.shape + each.word),
    ["●sharp", "◐fair", "○doubtful"],
  );
  assert.equal(fidelity(NaN, 0), null);
  assert.deepEqual(
    [distortion(0.4, 0.2), distortion(0.4, -2), distortion(0.05, 0), distortion(NaN, 1)].map((each) => each.word),
    ["sharp", "fair", "doubtful", "sharp"],
  );
  assert.equal(distortion(NaN, NaN), null);
});

test("figures are short", () => {
  assert.deepEqual(
    [figure(NaN), figure(0), figure(-0.5), figure(1234.5), figure(0.00123)],
    ["–", "0.00", "−0.50", "1235", "0.0012"],
  );
  assert.deepEqual([alike(0.107, 0.107), alike(0.0039, 0.107), alike(-1, 3), alike(0, 0)], ["0.107", "0.004", "−1.00", "0.00"]);
});

test("the beginning of a name counts more than its middle", () => {
  assert.deepEqual(
    ["coins", "old coins", "eco"].map((name) => match(name, "CO")),
    [0, 1, 2],
  );
  assert.equal(match("Ångström", "angs"), 0);
  assert.equal(match("coins", "x"), -1);
  const all = ["eco", "old coins", "coins"].map((text) => ({ kind: "class", text, told: "", choose() {} }));
  assert.deepEqual(
    ranked("co", all).map(({ text }) => text),
    ["coins", "old coins", "eco"],
  );
});
