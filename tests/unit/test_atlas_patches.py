"""Windows that move with their positions, members nearest to their group, and patches cut where they were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import errors
from phosphene.atlas.cells import Level
from phosphene.atlas.grids import GridSettings, grid
from phosphene.atlas.patches import Patches, PatchSettings, representatives
from phosphene.atlas.windows import Window, cut_patches, resized
from phosphene.backend import InputSpec
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import picked


@dataclass(frozen=True)
class Numbered(Source):
    """Image n is 12 x 16 pixels of n, but for its own row and column in the other channels; it counts how often it is read."""

    count: int
    read: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> np.ndarray:
        self.read.append(index)
        rows, columns = np.indices((12, 16), np.uint8)
        return np.stack([np.full_like(rows, index), rows, columns], axis=-1)

    def identity(self) -> str:
        return f"numbered {self.count}"


@dataclass(frozen=True)
class Taking:
    """As much of a network as cutting patches needs."""

    input: InputSpec = field(default_factory=lambda: InputSpec(size=(12, 16), channels=3))


NETWORK: Any = Taking()


def test_windows_move_by_the_stride_and_stay_inside() -> None:
    window = Window((5, 7), (-1.0, -2.5), (4.0, 4.0), (12, 16), (3, 4))
    boxes = window.boxes([[0, 0], [1, 1], [2, 3], [1, 2]])
    # At the border they are shifted to where they fit.
    assert boxes.tolist() == [[0, 5, 0, 7], [3, 8, 2, 9], [7, 12, 9, 16], [3, 8, 6, 13]]
    assert Window((12, 16), (0.0, 0.0), (0.0, 0.0), (12, 16), (1, 1)).boxes([[0, 0]]).tolist() == [[0, 12, 0, 16]]
    with pytest.raises(
        errors.InvalidParameter, match="positions: expected rows below 3 and columns below 4, got row 3"
    ):
        window.boxes([[0, 0], [3, 0]])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.floats(-20, 20), st.floats(0.5, 6), st.integers(1, 9))
def test_every_box_has_the_window_s_size_inside_the_image(side: int, corner: float, stride: float, rows: int) -> None:
    window = Window((side, side), (corner, -corner), (stride, stride), (12, 16), (rows, rows))
    boxes = window.boxes(np.stack(np.divmod(np.arange(rows * rows), rows), axis=1))
    assert (boxes[:, 1] - boxes[:, 0] == side).all() and (boxes[:, 3] - boxes[:, 2] == side).all()
    assert boxes.min() >= 0 and boxes[:, 1].max() <= 12 and boxes[:, 3].max() <= 16


def _level(seed: int = 0, count: int = 300) -> tuple[Level, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 6)).astype(np.float32)
    level = grid(random.normal(size=(count, 2)), vectors, GridSettings((4,))).levels[0]
    return level, vectors, random.integers(0, 40, count)


def test_representatives_are_those_of_a_loop() -> None:
    level, vectors, images = _level()
    found = representatives(level, vectors, images, 5)
    assert found.shape == (len(level.group_means), 5)
    for group, mean in enumerate(level.group_means.astype(np.float64)):
        members = level.members_of_group(group)
        near = sorted(members, key=lambda n: -(vectors[n] @ mean) / np.linalg.norm(vectors[n]))
        times: dict[int, int] = {}
        ranked = []
        for place, member in enumerate(near):
            again = times[images[member]] = times.get(images[member], -1) + 1
            ranked.append((again, place, member))
        wanted = [int(member) for _, _, member in sorted(ranked)][:5]
        assert found[group].tolist() == wanted + [-1] * (5 - len(wanted))


def test_one_image_alone_still_gives_as_many_as_there_are() -> None:
    level, vectors, images = _level()
    found = representatives(level, vectors, np.zeros_like(images), 3)
    sizes = np.diff(level.group_starts)
    assert ((found >= 0).sum(axis=1) == np.minimum(sizes, 3)).all()


@pytest.mark.parametrize("threads", [0, 2])
def test_patches_are_cut_from_their_images_each_read_once(threads: int) -> None:
    source = Numbered(9)
    images = [7, 2, 7, 4]
    boxes = [[0, 3, 0, 4], [9, 12, 12, 16], [5, 8, 1, 5], [1, 4, 2, 6]]
    if threads:
        with ThreadPoolExecutor(threads) as executor:
            found = cut_patches(NETWORK, source, images, boxes, executor=executor)
    else:
        found = cut_patches(NETWORK, source, images, boxes)
    assert sorted(source.read) == [2, 4, 7]
    assert found.shape == (4, 3, 4, 3) and found.dtype == np.uint8
    for patch, image, (top, _, left, _) in zip(found, images, boxes, strict=True):
        assert (patch[..., 0] == image).all()
        assert patch[0, 0, 1] == top and patch[0, 0, 2] == left


def test_patches_of_several_sizes_are_brought_to_one() -> None:
    found = cut_patches(NETWORK, Numbered(3), [1, 1], [[0, 12, 0, 16], [0, 3, 0, 4]], (3, 4))
    assert found.shape == (2, 3, 4, 3) and (found[..., 0] == 1).all()
    assert found[0, 0, 0, 1] < 3 and found[0, 2, 3, 2] > 11
    plain = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert resized(plain, (2, 4)) is plain
    assert resized(plain[..., :2], (4, 8)).shape == (4, 8, 2)


def test_what_cannot_be_cut() -> None:
    source = Numbered(3)
    for box in ([0, 13, 0, 4], [-1, 3, 0, 4], [3, 3, 0, 4], [0, 3, 9, 17]):
        with pytest.raises(
            errors.InvalidParameter,
            match=r"boxes: expected one box for each patch \(1 in all\) inside the image of 12 x 16",
        ):
            cut_patches(NETWORK, source, [0], [box])
    with pytest.raises(errors.InvalidParameter, match="numbers: expected ascending indices from 0 to 2"):
        cut_patches(NETWORK, source, [3], [[0, 3, 0, 3]])
    with pytest.raises(errors.InvalidParameter, match="most: expected an integer of at least 1"):
        PatchSettings(most=0)
    with pytest.raises(errors.InvalidParameter, match="mass: expected a number above 0 and at most 1"):
        PatchSettings(mass=0.0)


def test_images_are_picked_from_what_can_only_be_gone_through() -> None:
    class Once:
        def __iter__(self) -> Iterator[np.ndarray]:
            return (np.full((12, 16, 3), number, np.uint8) for number in range(6))

    source = source_of(Once(), InputSpec((12, 16)), count=6)
    found = [round(float(image[0, 0, 0]) * 255) for image in picked(source, [1, 4, 5], (12, 16), 3)]
    assert found == [1, 4, 5]


def test_an_image_that_cannot_be_read_is_named() -> None:
    @dataclass(frozen=True)
    class Damaged(Numbered):
        def image(self, index: int) -> np.ndarray:
            raise errors.CorruptFile("some.png", "no picture")

    with pytest.raises(errors.CorruptFile, match=r"some\.png"):
        cut_patches(NETWORK, Damaged(3), [1], [[0, 3, 0, 3]])


def test_pictures_are_looked_up_by_point() -> None:
    pictures = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    arrays = {
        "points.4": np.array([[9, 5], [6, -1], [7, 2]]),
        "point": np.array([2, 5, 9]),
        "pictures": pictures,
        "boxes": np.zeros((3, 4), np.int64),
    }
    found = Patches.of(arrays, 4)
    assert found.rows.tolist() == [[2, 1], [-1, -1], [-1, 0]]
    assert found.of_group(0)[:, 0, 0, 0].tolist() == [2, 1] and len(found.of_group(1)) == 0
    with pytest.raises(errors.InvalidParameter, match="size: expected a level of 4 cells per side, got 8"):
        Patches.of(arrays, 8)
