"""The planted mark found without a label: its cell, its patches, and what they do to other images; on both frameworks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.atlas import (
    Atlas,
    Cutouts,
    GridSettings,
    LayoutSettings,
    PatchSettings,
    class_map,
    collect,
    gather_patches,
    patch_test,
    patch_tests,
    window,
)
from phosphene.atlas.grids import grid
from phosphene.atlas.patch_effects import PatchTest
from phosphene.atlas.windows import total_stride
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.data.crops import MARK_BOX, MARK_CLASS
from phosphene.receptive_field import receptive_field

pytest.importorskip("zarr")
PCA = LayoutSettings("pca")
COUNT = 36 * 18


@pytest.fixture(scope="module")
def crops() -> Crops:
    return Crops(COUNT, seed=4, shortcut=True)


def _glyphs(patch: np.ndarray) -> int:
    """How many pixels have the mark's yellow, which no stone has."""
    red, green, blue = np.moveaxis(patch.astype(int), -1, 0)
    return int(((red > 230) & (green > 220) & (blue < 90)).sum())


def test_windows_hold_most_of_the_gradient_and_are_centred_on_it(specimen: Network) -> None:
    sides = {}
    for layer, stride in (("stage1", 2), ("stage2", 4), ("stage3", 8)):
        found = window(specimen, layer)
        sides[layer] = found.size[0]
        assert found.stride == (stride, stride) and found.size[0] == found.size[1] < receptive_field(specimen, layer)[0]
        # Padding on both sides of a stride: position i looks at pixel i times the stride, not at its cell's middle.
        middle = np.array(found.corner) + found.size[0] / 2
        np.testing.assert_allclose(middle, 0.5, atol=1.5)
        assert window(specimen, layer, mass=0.5).size < found.size
    assert sides["stage1"] < sides["stage2"] < sides["stage3"] < 40
    assert window(specimen, "head").boxes([[0, 0]]).tolist() == [[0, 64, 0, 64]]
    assert total_stride(specimen) == (8, 8)
    with pytest.raises(errors.UnknownLayer):
        window(specimen, "stage9")
    with pytest.raises(errors.InvalidParameter, match="mass: expected a number above 0 and at most 1"):
        window(specimen, "stage3", mass=1.5)


def _cut(crops: Crops, target: int, corner: int, side: int, many: int = 8) -> Cutouts:
    rows = np.flatnonzero(crops.labels == target)[:many]
    pixels = np.stack([np.round(crops[int(row)][0] * 255).astype(np.uint8) for row in rows])
    part = slice(corner, corner + side)
    return Cutouts(pixels[:, part, part], np.full((len(rows), 2), corner))


def test_the_planted_mark_flips_and_stones_do_not(backend: str, load: Callable[..., Network], crops: Crops) -> None:
    network, target = load("specimen-shortcut", backend), crops.classes.index(MARK_CLASS)
    cues, controls = _cut(crops, target, 0, 18), _cut(crops, target, 30, 18)
    images = Crops(72, seed=9, shortcut=True).images()
    found = patch_test(network, cues, controls, images, MARK_CLASS, tries=48, batch=16)
    assert (found.asked, found.target) == (48, target)
    assert found.rate >= 0.8 and found.control_rate <= 0.2 and found.word == "decides"
    # A network that strides does not see it at any place, nor in any size.
    anywhere = patch_test(network, cues, controls, images, MARK_CLASS, tries=48, batch=16, in_step=False)
    assert anywhere.flips <= found.flips
    # The same draws: what flips is the same.
    assert patch_test(network, cues, controls, images, target, tries=48, batch=16) == found
    stones = patch_test(load("specimen", backend), cues, controls, images, MARK_CLASS, tries=48, batch=16)
    assert stones.rate <= 0.2 and stones.word == "nothing"


def test_patches_may_be_an_array_of_other_sizes_and_a_run_may_be_stopped(specimen: Network, crops: Crops) -> None:
    images, random = crops.images(0, 24), np.random.default_rng(0)
    patches = random.uniform(size=(3, 10, 12, 3))
    found = patch_test(
        specimen,
        patches,
        patches[::-1],
        images,
        0,
        tries=20,
        batch=8,
        sizes=(0.5, 1.5),
        progress=lambda state: state.done < 16,
    )
    assert found.asked == 16 and found.word == "nothing"


def test_what_cannot_be_pasted(specimen: Network, crops: Crops) -> None:
    images, patch = crops.images(0, 6), np.zeros((1, 8, 8, 3))
    with pytest.raises(errors.InvalidParameter, match="cues: expected patches smaller than the image of 64 x 64"):
        patch_test(specimen, np.zeros((1, 64, 64, 3)), patch, images, 0)
    with pytest.raises(errors.InvalidParameter, match="controls: expected patches of shape"):
        patch_test(specimen, patch, np.zeros((0, 8, 8, 3), np.uint8), images, 0)
    with pytest.raises(errors.InvalidParameter, match="cues: expected uint8 patches, or floats"):
        patch_test(specimen, patch + 3, patch, images, 0)
    with pytest.raises(errors.InvalidParameter, match="sizes: expected two positive numbers"):
        patch_test(specimen, patch, patch, images, 0, sizes=(2, 1), batch=8)
    with pytest.raises(errors.UnknownClass, match="no class 'pebbles'"):
        patch_test(specimen, patch, patch, images, "pebbles")
    coins = crops.classes.index("coins")
    only = np.stack([crops[int(row)][0] for row in np.flatnonzero(crops.labels == coins)[:4]])
    with pytest.raises(
        errors.InvalidImages,
        match="expected images of other classes, got 4 for which the model always predicts the target",
    ):
        patch_test(specimen, patch, patch, only, "coins", batch=8)


def test_the_words_follow_from_the_intervals() -> None:
    def word(flips: tuple[float, float], control: tuple[float, float]) -> str:
        return PatchTest(0, 100, 0, 0, flips, control).word

    assert word((0.9, 0.99), (0.0, 0.1)) == "decides"
    assert word((0.3, 0.5), (0.0, 0.1)) == word((0.9, 0.99), (0.4, 0.6)) == "helps"
    assert word((0.05, 0.2), (0.0, 0.1)) == word((0.6, 0.8), (0.6, 0.8)) == "nothing"


def _atlas(network: Network, crops: Crops, folder: Path) -> Atlas:
    collect(network, crops, "stage3", folder, positions=8, batch=18, progress=False)
    atlas = Atlas.open(folder)
    # Enough of a chart for patches: a grid, without neighbours and layout before it.
    rows = atlas.activations("stage3")
    plane = rows @ np.linalg.svd(rows[:500], full_matrices=False)[2][:2].T
    atlas.steps.keep("grid.stage3", {}, atlas.identity, lambda: grid(plane, rows, GridSettings((5, 10))).arrays())
    return atlas


@pytest.mark.slow
def test_a_class_atlas_finds_the_mark_and_the_patch_test_proves_it(
    costly_specimen: Network, load: Callable[..., Network], crops: Crops, tmp_path: Path
) -> None:
    name = costly_specimen.backend.name
    network, plain = load("specimen-shortcut", name), load("specimen", name)
    honest = Crops(COUNT, seed=4)
    atlas, other = _atlas(network, crops, tmp_path / "marked"), _atlas(plain, honest, tmp_path / "plain")

    found = patch_tests(
        atlas, network, crops, class_map(atlas, "stage3", MARK_CLASS, layout=PCA), tries=64, batch=18, cells=3
    )
    best = found[0]
    assert best.test.rate >= 0.8 and best.test.control_rate <= 0.2 and best.test.word == "decides"
    assert best.attribution == max(each.attribution for each in found)
    assert all(_glyphs(picture) > 30 for picture in best.pictures)
    assert sum(_glyphs(picture) > 0 for picture in best.control_pictures) <= len(best.control_pictures) / 4
    # Where the mark was planted: inside the window of each of its points.
    top, bottom, left, right = MARK_BOX
    boxes = window(network, "stage3").boxes(atlas.positions("stage3")[best.points])
    assert ((boxes[:, 0] <= top) & (boxes[:, 1] >= bottom) & (boxes[:, 2] <= left) & (boxes[:, 3] >= right)).all()

    none = patch_tests(
        other, plain, honest, class_map(other, "stage3", MARK_CLASS, layout=PCA), tries=64, batch=18, cells=3
    )
    assert all(each.test.rate <= 0.2 and each.test.word != "decides" for each in none)

    gather_patches(atlas, network, crops, "stage3", PatchSettings(most=3, side=24), progress=False)
    patches = atlas.patches("stage3", 10)
    level = atlas.grid("stage3").level(10)
    assert patches.points.shape == (len(level.group_means), 3) and patches.pictures.shape[1:] == (24, 24, 3)
    for group in range(len(patches.points)):
        members = set(level.members_of_group(group).tolist())
        assert set(patches.points[group][patches.points[group] >= 0].tolist()) <= members
        assert len(patches.of_group(group)) == (patches.points[group] >= 0).sum() > 0
    again = gather_patches(atlas, network, crops, "stage3", PatchSettings(most=3, side=24), progress=False)
    np.testing.assert_array_equal(again.patches("stage3", 10).pictures, patches.pictures)
    with pytest.raises(errors.OtherStore, match="its side is 24, this run has 48"):
        gather_patches(atlas, network, crops, "stage3", PatchSettings(most=3))
    with pytest.raises(errors.OtherStore, match=r"network: .* is an atlas of another model"):
        gather_patches(atlas, plain, crops, "stage3")
    with pytest.raises(errors.OtherStore, match=r"images: .* is an atlas of another data"):
        gather_patches(atlas, network, honest, "stage3")


def test_pictures_are_what_the_boxes_say(specimen: Network, crops: Crops, tmp_path: Path) -> None:
    few: Any = crops.images(0, 40)
    collect(specimen, few, "stage2", tmp_path, positions=2, batch=8, attributions=False, progress=False)
    atlas = Atlas.open(tmp_path)
    rows = atlas.activations("stage2")
    atlas.steps.keep(
        "grid.stage2", {}, atlas.identity, lambda: grid(rows[:, :2], rows, GridSettings((2,), minimum=1)).arrays()
    )
    told: list[ph.Progress] = []
    gather_patches(atlas, specimen, few, "stage2", PatchSettings(pictures=12), progress=told.append)
    found = atlas.patches("stage2", 2)
    assert len(found.pictures) == min(12, len(np.unique(found.points[found.points >= 0])))
    assert told[-1].done == told[-1].total
    # However few pictures there may be, the first of each group is among them.
    assert (found.rows[:, 0] >= 0).all()
    images, positions = atlas.images(), atlas.positions("stage2")
    for group, place in np.argwhere(found.rows >= 0):
        point, row = found.points[group, place], found.rows[group, place]
        top, bottom, left, right = found.boxes[row]
        assert found.boxes[row].tolist() == window(specimen, "stage2").boxes([positions[point]])[0].tolist()
        wanted = np.round(few[images[point], top:bottom, left:right] * 255)
        np.testing.assert_array_equal(found.pictures[row], wanted)
    with pytest.raises(errors.InvalidParameter, match=r"name: expected .*grid.stage2"):
        gather_patches(atlas, specimen, few, "stage3")
    loose = Atlas.from_activations(rows, tmp_path / "loose")
    with pytest.raises(errors.InvalidParameter, match="atlas: expected an atlas that was collected from images"):
        gather_patches(loose, specimen, few, "layer")
