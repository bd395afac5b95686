"""The pictures of a layer: a sheet for each block of each level, one series for further groups, and one for real patches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.viewer.groups import Groups
from phosphene.viewer.sheets import ACROSS, LARGEST, Sheet, cropped, lay

__all__ = ["Pictured", "picture_cells"]

PATCH = 48
"""Pixels of a patch's side, at most; 20 of them are 960."""

PATCHES_ACROSS = 20

PATCHES_A_SHEET = 200

PATCHES = 4
"""Patches of a group."""

ICON_RANK, PATCH_RANK = 100, 200
"""How early a kind of picture is wanted; the depth of the level is added."""


class Pictured:
    """Sheets as they come together.

    Parameters
    ----------
    index : int
        Of the layer in the page.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self._sheets: list[Sheet] = []
        self._patches: list[NDArray[np.uint8]] = []
        self._ranks: list[int] = []
        self._place: dict[int, int] = {}
        self._facts: dict[str, Any] = {}

    def add(
        self, name: str, pictures: NDArray[np.uint8], bounds: list[int], rank: Callable[[int], int], across: int
    ) -> dict[str, Any]:
        """Sheets of the pictures between each two bounds; says how large these are, and where each sheet begins."""
        for number, (first, stop) in enumerate(pairwise(bounds)):
            pixels = lay(pictures[first:stop], across)
            self._sheets.append(Sheet(f"{name}-{self.index}-{number}", first, stop - first, pixels, rank(first)))
        return {"side": int(pictures.shape[1]), "first": bounds[:-1]}

    def patch_rows(self, patches: Any, rows: NDArray[np.int64], depth: int) -> NDArray[np.uint32]:
        """Numbers from 1 of patches in their series; 0 where there is none. A patch that several levels show is one."""
        found = np.zeros(rows.shape, np.uint32)
        for index in zip(*np.nonzero(rows >= 0), strict=True):
            row = int(rows[index])
            if row not in self._place:
                self._place[row] = len(self._patches)
                self._patches.append(patches.pictures[row])
                self._ranks.append(PATCH_RANK + depth)
            found[index] = self._place[row] + 1
        return found

    def patch_facts(self) -> dict[str, Any] | None:
        """What the manifest says of the patches; they are laid in sheets now."""
        if not self._patches:
            return None
        pictures = cropped(np.stack(self._patches), 1.0, PATCH)
        # They came level by level, and a sheet is of one level: those of fine levels are wanted later.
        edges = [0, *(np.flatnonzero(np.diff(self._ranks)) + 1).tolist(), len(pictures)]
        bounds = [first for begin, stop in pairwise(edges) for first in range(begin, stop, PATCHES_A_SHEET)]
        facts = self.add("patch", pictures, [*bounds, len(pictures)], self._ranks.__getitem__, PATCHES_ACROSS)
        return {**facts, "across": PATCHES_ACROSS}

    def sheets(self) -> list[Sheet]:
        """All of them."""
        return self._sheets


def picture_cells(
    pictured: Pictured,
    level: Level,
    cells: NDArray[np.int64],
    groups: Groups,
    icons: Icons | None,
    patches: Any,
    crop: float,
    depth: int,
    facts: dict[str, Any],
) -> dict[str, NDArray[Any]]:
    """Lay out the pictures of a level: of each cell that of its first group; a real patch where no icon was made.

    Where no cell has one there is no "colour" among the columns.
    """
    columns: dict[str, NDArray[Any]] = {}
    starts = np.concatenate([[0], np.cumsum(np.bincount(groups.owners, minlength=len(cells)))])[:-1]
    first = groups.icons[starts]
    columns["kind"] = kind = np.where(first >= 0, 1, 0).astype(np.uint8)
    block = level.cells[cells] // ACROSS
    edges = np.flatnonzero(np.any(np.diff(block, axis=0) != 0, axis=1)) + 1
    bounds = [0, *edges.tolist(), len(cells)]
    facts["blocks"] = {"side": 0, "first": bounds[:-1]}
    made = cropped(icons.images, crop) if icons is not None and len(icons) else None
    if made is None and patches is None:
        return columns
    side = LARGEST if made is None else made.shape[1]
    tiles = np.full((len(cells), side, side, 3), 128, np.uint8)
    if made is not None:
        tiles[first >= 0] = made[first[first >= 0]]
        facts["further"] = _further(pictured, level, groups, made, starts, depth, columns)
    if patches is not None:
        rows = patches.rows[groups.numbers][:, :PATCHES]
        columns["group.patch"] = pictured.patch_rows(patches, rows, depth)
        bare = np.flatnonzero((first < 0) & (rows[starts, 0] >= 0))
        if len(bare):
            shown = cropped(patches.pictures[rows[starts[bare], 0]], 1.0, side)
            kind[bare] = 2
            tiles[bare] = _resized(shown, side)
    if kind.any():
        columns["colour"] = tiles.mean(axis=(1, 2)).round().astype(np.uint8)
        facts["blocks"] = pictured.add(f"icon-{level.size}", tiles, bounds, lambda _: ICON_RANK + depth, ACROSS)
    return columns


def _further(
    pictured: Pictured,
    level: Level,
    groups: Groups,
    made: NDArray[np.uint8],
    starts: NDArray[np.int64],
    depth: int,
    columns: dict[str, NDArray[Any]],
) -> Any:
    """Sheets of the icons of all groups but the first of each cell; `group.further` numbers them from 1."""
    other = groups.icons >= 0
    other[starts] = False
    columns["group.further"] = np.where(other, np.cumsum(other), 0).astype(np.uint32)
    rows = groups.icons[other]
    if not len(rows):
        return None
    bounds = [*range(0, len(rows), ACROSS**2), len(rows)]
    return pictured.add(f"more-{level.size}", made[rows], bounds, lambda _: ICON_RANK + depth, ACROSS)


def _resized(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Square pictures at another side, each pixel the nearest."""
    where = np.arange(side) * pictures.shape[1] // side
    return pictures[:, where][:, :, where]
