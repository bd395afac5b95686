"""Atlases that stop half-way and go on; points, layers, counts and iterators that are not as they should be."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
import phosphene.atlas.icons as icons_module
from built_atlases import CHART, NONE, QUICK, same_atlas
from phosphene import errors
from phosphene.atlas import (
    Atlas,
    GraphSettings,
    GridSettings,
    LayoutSettings,
    PatchSettings,
    build,
    chart,
    class_map,
    collect,
)
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.kit.progress import Progress
from small_models import small_network

pytest.importorskip("zarr")
pytest.importorskip("sklearn")

LAYER = "stage3"


@pytest.fixture
def network(costly_specimen: Network) -> Network:
    return costly_specimen


class Stopping:
    """Says stop at the first step whose unit and message match."""

    def __init__(self, unit: str, message: str) -> None:
        self.unit, self.message, self.calls = unit, message, 0

    def __call__(self, state: Progress) -> bool:
        self.calls += 1
        return not (state.unit == self.unit and self.message in state.message)


def test_stopped_anywhere_it_goes_on_and_ends_equal(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icons_module, "SHARD", 10)
    monkeypatch.setattr("phosphene.atlas.points.SHARD_BYTES", 1)

    def made(folder: str, progress: Any) -> Atlas:
        return build(
            network, "photos:160:5", LAYER, tmp_path / folder, levels=(2, 4), settings=QUICK, progress=progress
        )

    seen: list[tuple[str, ...]] = []
    for stop in (
        Stopping("images", ""),
        Stopping("steps", "neighbours"),
        Stopping("steps", "labels"),
        Stopping("icons", ""),
        Stopping("icons", f"{LAYER} 4"),
    ):
        part = made("stopped", stop)
        seen.append(part.steps.names)
        assert stop.calls
    names = [{name.partition(".")[0] for name in each} for each in seen]
    assert names[0] == set() and names[1] == {"moments", "neighbours"}
    assert "labels" in names[2] and "clusters" not in names[2]
    assert seen[3].count("icons.stage3.2.0000") == 1 and not any("icons.stage3.4" in name for name in seen[3])
    assert "icons.stage3.4.0000" in seen[4] and not any("patches" in name for name in seen[4])
    same_atlas(made("stopped", False), made("whole", False))


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Crops(120, 5).images()
    settings = replace(NONE, patches=PatchSettings(1))

    def made(folder: str) -> Atlas:
        return build(network, images, LAYER, tmp_path / folder, levels=(2, 4), settings=settings, progress=False)

    for step in (f"neighbours.{LAYER}", f"grid.{LAYER}", f"patches.{LAYER}"):
        for ending in ("npz", "json"):
            with monkeypatch.context() as patch:
                _full(patch, f"{step}.{ending}")
                message = rf"cannot write .*No space left on device \(at step '{step}'\).*run it again to resume"
                with pytest.raises(errors.UnwritablePath, match=message):
                    made("full")
            part = Atlas.open(tmp_path / "full")
            assert step not in part.steps.names
            assert all(part.steps.read(name).arrays for name in part.steps.names)
            assert not [path for path in part.steps.folder.iterdir() if path.name.startswith(".")]
    same_atlas(made("full"), made("whole"))


def _full(patch: pytest.MonkeyPatch, name: str) -> None:
    """A disk that has no room for a file of that name: half of it is there when it says so."""
    import phosphene.kit.writing as writing

    sync, place = os.fsync, writing.tempfile.mkstemp
    doomed: list[int] = []

    def open_there(*given: Any, **more: Any) -> Any:
        handle, path = place(*given, **more)
        if f".{name}." in path:
            doomed.append(handle)
        return handle, path

    def refuse(handle: int) -> None:
        if handle in doomed:
            os.ftruncate(handle, 10)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    patch.setattr(writing.tempfile, "mkstemp", open_there)
    patch.setattr(writing.os, "fsync", refuse)


def _small(backend: str, **options: Any) -> Network:
    return ph.wrap(small_network(backend, **options), size=(8, 10), channels=3)


def _noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (count, 8, 10, 3)).astype(np.float32)


def test_points_that_are_not_finite_are_counted_by_layer_and_the_rest_is_mapped(backend: str, tmp_path: Path) -> None:
    images = _noise(60)
    largest = ph.activations(_small(backend), images, "drop")["drop"].max(axis=1)
    limit = float(np.sort(largest)[49:51].mean())
    broken = _small(backend, bomb=lambda x: x + 0 * (limit - x) ** 0.5)  # NaN where it is larger
    with pytest.warns(errors.ModelWarning, match=r"10 of drop, 10 of output \(of 60 points\)"):
        atlas = build(broken, images, ["conv", "drop"], tmp_path, levels=(2,), settings=NONE, progress=False)
    assert atlas.left_out == {"drop": 10, "output": 10}
    assert atlas.images().tolist() == np.flatnonzero(largest < limit).tolist()
    for layer in ("conv", "drop"):
        assert len(atlas.layout(layer).points) == 50 and np.isfinite(atlas.grid(layer).level(2).means).all()
        assert int(atlas.grid(layer).level(2).counts.sum()) + int(atlas.grid(layer).outliers.sum()) == 50


def test_a_layer_that_is_the_same_everywhere_is_refused(backend: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match="got 'drop' with the same activation at all 40 points"):
        build(_small(backend, dead=True), _noise(40), ["drop"], tmp_path, settings=NONE, progress=False)
    assert Atlas.open(tmp_path).store.complete


def test_too_few_points_for_the_grid_and_then_a_coarser_one(backend: str, tmp_path: Path) -> None:
    network, images = _small(backend), _noise(60)
    with pytest.raises(
        errors.InvalidParameter, match=r"got 40, at which no cell has more than \d of the \d+ points.*stop at level 2"
    ):
        build(network, images, ["conv"], tmp_path, levels=(2, 40), settings=NONE, progress=False)
    atlas = build(network, images, ["conv"], tmp_path, levels=(2, 4), settings=NONE, progress=False)
    assert [level.size for level in atlas.grid("conv").levels] == [2, 4]
    for levels in ((4, 6), (), (8, 4), (0,)):
        with pytest.raises(errors.InvalidParameter, match="levels"):
            build(network, images, ["conv"], tmp_path / "never", levels=levels, settings=NONE, progress=False)
    assert not (tmp_path / "never").exists()  # refused before any image was read


def test_a_count_takes_the_first_images(backend: str, tmp_path: Path) -> None:
    network, images = _small(backend), _noise(60)
    atlas = build(network, images, ["conv"], tmp_path / "a", count=40, levels=(2,), settings=NONE, progress=False)
    other = build(network, iter(images), ["conv"], tmp_path / "b", count=40, levels=(2,), settings=NONE, progress=False)
    assert atlas.images().tolist() == list(range(40))
    np.testing.assert_array_equal(atlas.activations("conv"), other.activations("conv"))
    np.testing.assert_array_equal(
        ph.activations(network, images, "conv", count=3)["conv"], ph.activations(network, images[:3], "conv")["conv"]
    )
    for count, message in ((61, "count: expected at most 60"), (0, "count: expected an integer of at least 1")):
        with pytest.raises(errors.InvalidParameter, match=message):
            build(network, images, ["conv"], tmp_path / "c", count=count, settings=NONE, progress=False)


def test_an_iterator_is_refused_where_images_are_read_twice(backend: str, tmp_path: Path) -> None:
    network, images = _small(backend), _noise(40)
    settings = replace(NONE, patches=PatchSettings(1))
    with pytest.raises(errors.InvalidParameter, match=r"images that can be read twice.*patches=None"):
        build(network, iter(images), ["conv"], tmp_path / "a", count=40, levels=(2,), settings=settings, progress=False)
    assert not (tmp_path / "a").exists()  # before any image was read
    found = build(network, images, ["conv"], tmp_path / "b", levels=(2,), settings=settings, progress=False)
    assert (found.patches("conv", 2).points[:, 0] >= 0).all()


def test_the_map_of_a_class_without_images(load: Callable[..., Network], tmp_path: Path) -> None:
    """Crops of three photographs: nothing speaks for most of the others, and that is said."""
    network = load("specimen", "torch")
    crops = Crops(400, 7)
    chosen = [index for index, label in enumerate(crops.labels) if label in (0, 1, 2)]
    images = np.stack([crops[index][0] for index in chosen])
    atlas = build(network, images, LAYER, tmp_path, levels=(2,), settings=NONE, progress=False)
    present = {int(crops.labels[index]) for index in chosen}

    def mapped(target: int) -> int:
        few = {"layout": LayoutSettings("pca"), "graph": GraphSettings(5)}
        return len(class_map(atlas, LAYER, target, **few).points)  # type: ignore[arg-type]

    assert all(mapped(target) >= 5 for target in present)
    names, refused = list(network.classes or ()), []
    for target in sorted(set(range(len(names))) - present):
        try:
            assert mapped(target) >= 5
        except errors.InvalidParameter:
            refused.append(target)
    assert len(refused) >= 5
    with pytest.raises(
        errors.InvalidParameter, match=rf"got {names[refused[0]]}, supported by .* or collect more images of it"
    ):
        mapped(refused[0])


def test_texts_that_come_late_are_refused_and_leave_no_trace(backend: str, tmp_path: Path) -> None:
    network, images = _small(backend), _noise(60)
    texts = [("dark", "light")[int(image.mean() > 0.5)] for image in images]

    def made(texts: list[str] | None = None) -> Atlas:
        return build(network, images, ["conv"], tmp_path, levels=(2,), settings=NONE, texts=texts, progress=False)

    names = made().steps.names
    with pytest.raises(
        errors.OtherStore, match=r"named without texts\. .* or delete clusters\.conv\.json there to name them again"
    ):
        made(texts)
    assert made().steps.names == names
    made().steps.discard("clusters.conv")
    assert set(made(texts).text_labels("conv", 2).names) == {"dark", "light"}
    assert set(made().steps.names) == {*names, "texts", "text_labels.conv"}  # they need not be given again
    with pytest.raises(errors.OtherStore, match="its texts is"):
        made(texts[::-1])


def test_layouts_of_ones_own(backend: str, tmp_path: Path) -> None:
    network, images = _small(backend), _noise(60)
    collect(network, images, ["conv", "norm"], tmp_path, progress=False)
    atlas = Atlas.open(tmp_path)
    own = np.random.default_rng(1).uniform(-3, 5, (60, 2)).astype(np.float32)
    chart(atlas, settings=replace(CHART, grid=GridSettings((2,))), layouts={"norm": own})
    np.testing.assert_array_equal(atlas.layout("norm").points, own)
    assert atlas.layout("norm").method == "given" and atlas.layout("conv").method == "pca"
    for wrong, message in (
        (own[:9], r"layouts: expected finite numbers of shape \(60, 2\) for 'norm'.*got shape \(9, 2\)"),
        (own * np.nan, "got infinity or NaN"),
    ):
        with pytest.raises(errors.InvalidParameter, match=message):
            chart(atlas, layouts={"norm": wrong})
    with pytest.raises(
        errors.InvalidParameter, match=r"layouts: expected 'conv' or 'norm', got 'nor'\. Did you mean 'norm'"
    ):
        chart(atlas, layouts={"nor": own})
    with pytest.raises(errors.OtherStore, match=r"step 'layout\.norm' of another run: its given is"):
        chart(atlas, settings=replace(CHART, grid=GridSettings((2,))), layouts={"norm": own + 1})
