"""All steps in a row, from activations that come from anywhere: kept, found again, and refused where they are of other work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas import Atlas, ChartSettings, GraphSettings, GridSettings, LayoutSettings, MeasureSettings, chart
from phosphene.atlas.steps import Steps
from phosphene.kit.progress import Progress

pytest.importorskip("zarr")
pytest.importorskip("sklearn")
SETTINGS = ChartSettings(
    graph=GraphSettings(20), layout=LayoutSettings("pca"), grid=GridSettings((4, 8)), measures=MeasureSettings(10)
)


def _activations(count: int = 600) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    first = np.maximum(random.normal(size=(count, 8)) @ random.normal(size=(8, 8)), 0).astype(np.float32)
    return {"a": first, "deep/b": (first @ random.normal(size=(8, 5))).astype(np.float32)}


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return Atlas.from_activations(_activations(), tmp_path)


def test_the_whole_chain_and_its_results(atlas: Atlas) -> None:
    seen: list[Progress] = []
    chart(atlas, settings=SETTINGS, progress=seen.append)
    assert [state.message for state in seen][:6] == [
        f"{step}.a" for step in ("moments", "neighbours", "layout", "grid", "measures", "clusters")
    ]
    assert seen[-1].done == seen[-1].total == 12
    again = Atlas.open(atlas.folder)
    assert again.layers == ("a", "deep/b")
    for layer, vectors in _activations().items():
        np.testing.assert_array_equal(again.activations(layer), vectors)
        grid, measures = again.grid(layer), again.measures(layer)
        assert [level.size for level in grid.levels] == [4, 8]
        assert 0.5 < measures.trustworthiness <= 1 and measures.neighbours == 10
        assert again.layout(layer).points.shape == (600, 2) and again.neighbours(layer).count == 20
        cells = again.cell_measures(layer, 8)
        assert {name: len(values) for name, values in cells.items()} == dict.fromkeys(
            ("recall", "stretch", "split_half"), len(grid.level(8).counts)
        )
        moment = vectors.astype(np.float64).T @ vectors / len(vectors)
        np.testing.assert_allclose(again.whitening(layer).values.sum(), np.trace(moment), rtol=1e-5)
        # Without attributions, logits and texts nothing has a name.
        assert again.clusters(layer, 8).names[0] == "cluster 1" and f"labels.{layer}" not in again.steps.names
    assert again.images().tolist() == list(range(600))


def test_a_later_run_finds_what_is_there(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    chart(atlas, settings=SETTINGS, progress=lambda state: state.done < 3)
    assert set(atlas.steps.names) == {"moments.a", "neighbours.a", "layout.a"}
    before = {path: path.stat().st_mtime_ns for path in atlas.steps.folder.iterdir()}
    layout = atlas.layout("a").points
    chart(atlas, settings=SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    np.testing.assert_array_equal(atlas.layout("a").points, layout)
    assert len(atlas.steps.names) == 12
    once = chart(Atlas.from_activations(_activations(), atlas.folder / "once"), settings=SETTINGS)
    for name in atlas.steps.names:
        one, other = atlas.steps.read(name), once.steps.read(name)
        assert one.identity == other.identity
        for key, values in one.arrays.items():
            np.testing.assert_array_equal(values, other.arrays[key])


def test_steps_of_other_settings_or_other_points_are_refused(atlas: Atlas) -> None:
    chart(atlas, ["a"], SETTINGS)
    with pytest.raises(errors.OtherStore, match=r"step 'layout.a' of another run: its seed is 0, this run has 7"):
        chart(atlas, ["a"], ChartSettings(graph=GraphSettings(20), layout=LayoutSettings("pca", seed=7)))
    with pytest.raises(errors.OtherStore, match=r"step 'neighbours.a' .* its whitened is False, this run has True"):
        chart(atlas, ["a"], ChartSettings(whitened=True, graph=GraphSettings(20)))
    with pytest.raises(errors.OtherStore, match="holds a store of another run: its data is "):
        Atlas.from_activations({**_activations(), "a": _activations()["a"] + 1}, atlas.folder)
    # A step that is thrown away leaves those made from it without an origin.
    atlas.steps.discard("layout.a")
    other = ChartSettings(graph=GraphSettings(20), layout=LayoutSettings("pca", seed=7), grid=GridSettings((4, 8)))
    with pytest.raises(errors.OtherStore, match=r"step 'grid.a' .* computed from other results of earlier steps"):
        chart(atlas, ["a"], other)


def test_a_damaged_step_is_named_and_made_again(atlas: Atlas, caplog: pytest.LogCaptureFixture) -> None:
    chart(atlas, ["a"], SETTINGS)
    points = atlas.layout("a").points
    path = atlas.steps.folder / "layout.a.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.CorruptStore, match=r"layout\.a\.npz: damaged"):
        atlas.layout("a")
    chart(atlas, ["a"], SETTINGS)
    np.testing.assert_array_equal(atlas.layout("a").points, points)
    assert "layout.a.npz" in caplog.text


def test_a_step_of_a_later_version_is_refused(atlas: Atlas) -> None:
    chart(atlas, ["a"], SETTINGS, progress=lambda state: False)
    path = atlas.steps.folder / "moments.a.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(errors.OtherStore, match="written in format 99"):
        atlas.whitening("a")
    path.write_text("{")
    with pytest.raises(errors.CorruptFile, match="damaged, or not part of an atlas"):
        chart(atlas, ["a"], SETTINGS)


def test_steps_keep_any_name(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    kept = steps.keep("layout.a/b#1", {"x": (1, 2)}, "origin", lambda: {"values": np.arange(3)})
    assert kept.fresh and steps.names == ("layout.a/b#1",)
    again = steps.keep("layout.a/b#1", {"x": [1, 2]}, "origin", lambda: pytest.fail("it was there"))
    assert not again.fresh and again.identity == kept.identity and again.arrays["values"].tolist() == [0, 1, 2]
    with pytest.raises(errors.InvalidParameter, match=r"Did you mean 'layout.a/b#1'"):
        steps.read("layout.a/b")


def test_an_array_alone_is_one_layer(tmp_path: Path) -> None:
    vectors = _activations()["a"][:40]
    atlas = Atlas.from_activations(vectors, tmp_path, images=np.arange(40) // 2, logits=vectors[:, :3])
    assert atlas.layers == ("layer",) and atlas.images()[-1] == 19 and atlas.logits().shape == (40, 3)
    assert atlas.left_out == {} and atlas.classes == ()


def test_bad_input(tmp_path: Path) -> None:
    vectors = _activations()["a"]
    broken = vectors.copy()
    broken[3:5, 0] = np.nan
    with pytest.raises(errors.InvalidParameter, match=r"activation.x: expected finite numbers, got 2 of 600 rows"):
        Atlas.from_activations({"x": broken}, tmp_path / "a")
    with pytest.raises(errors.InvalidParameter, match=r"activation.b: expected shape \(600, C\)"):
        Atlas.from_activations({"a": vectors, "b": vectors[:10]}, tmp_path / "a")
    with pytest.raises(errors.CorruptFile, match="not a store"):
        Atlas.open(tmp_path / "nowhere")
    dead = Atlas.from_activations({"a": vectors, "dead": np.ones((600, 4))}, tmp_path / "b")
    with pytest.raises(errors.InvalidParameter, match="got 'dead' with the same activation at all 600 points"):
        chart(dead, ["dead"], SETTINGS)
    with pytest.raises(errors.InvalidParameter, match=r"layers: expected 'a' or 'dead', got 'b'"):
        chart(dead, ["b"], SETTINGS)
    few = Atlas.from_activations(vectors[:12], tmp_path / "c")
    with pytest.raises(errors.InvalidParameter, match=r"no cell has more than \d of the"):
        chart(few, settings=ChartSettings(layout=LayoutSettings("pca"), grid=GridSettings((20,))))
    with pytest.raises(errors.InvalidParameter, match="Choose a layer that was collected"):
        chart(few, ["stage"])
