"""Pictures of a layer: sheets of cells by level and block, of further groups and of real patches; or colours of cells."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.viewer.groups import Groups
from phosphene.atlas.viewer.sprites import ACROSS, LARGEST, Sheet, cropped, lay

__all__ = ["BASE", "Pictured", "category_colours", "colour_cells", "picture_cells"]

PATCH = 48
"""Maximum side of a patch in pixels; a row of 20 has 960."""

PATCHES_ACROSS = 20

PATCHES_A_SHEET = 200

PATCHES = 4
"""Maximum number of patches per group."""

ICON_RANK, PATCH_RANK = 100, 200
"""Order in which kinds of pictures are loaded; the depth of the level is added."""

BASE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    np.float64,
)
"""Seven colours that are distinguishable with colour blindness (Okabe and Ito 2008), without black."""

SHADES = ((0.0, 0.0), (0.0, 0.4), (255.0, 0.45))
"""Plain, darker and lighter: the grey level to mix in, and its share."""

NONE = 128
"""Grey, for cells without a reliable class or region."""


class Pictured:
    """Accumulates the sheets of a layer.

    Parameters
    ----------
    index : int
        Index of the layer in the page.
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
        """Add one sheet per interval of `bounds`; returns the side of the pictures and the first of each sheet."""
        for number, (first, stop) in enumerate(pairwise(bounds)):
            pixels = lay(pictures[first:stop], across)
            self._sheets.append(Sheet(f"{name}-{self.index}-{number}", first, stop - first, pixels, rank(first)))
        return {"side": int(pictures.shape[1]), "first": bounds[:-1]}

    def patch_rows(self, patches: Any, rows: NDArray[np.int64], depth: int) -> NDArray[np.uint32]:
        """Numbers of patches in their series, from 1; 0 for none. A patch used by several levels is stored once."""
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
        """Add the sheets of the patches; returns their entry in the manifest."""
        if not self._patches:
            return None
        pictures = cropped(np.stack(self._patches), 1.0, PATCH)
        # Each sheet has patches of one level, since those of fine levels are loaded later.
        edges = [0, *(np.flatnonzero(np.diff(self._ranks)) + 1).tolist(), len(pictures)]
        bounds = [first for begin, stop in pairwise(edges) for first in range(begin, stop, PATCHES_A_SHEET)]
        facts = self.add("patch", pictures, [*bounds, len(pictures)], self._ranks.__getitem__, PATCHES_ACROSS)
        return {**facts, "across": PATCHES_ACROSS}

    def sheets(self) -> list[Sheet]:
        """All sheets."""
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
    """Lay out the pictures of a level: the icon of the first group of each cell, or else its first real patch.

    If no cell has a picture, the columns have no "colour".
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


def category_colours(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A colour for each number, ``(N, 3)``, repeating after 21; grey for negative numbers."""
    numbers = np.asarray(numbers)
    shade = numbers // len(BASE) % len(SHADES)
    mixed, part = np.array(SHADES)[shade].T
    found = BASE[numbers % len(BASE)] * (1 - part[:, None]) + (mixed * part)[:, None]
    found[numbers < 0] = NONE
    colours: NDArray[np.uint8] = found.round().astype(np.uint8)
    return colours


def colour_cells(columns: dict[str, NDArray[Any]], texts: bool) -> tuple[NDArray[np.uint8], str]:
    """Colour the cells of a level without pictures by their first class, or else by region.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Columns of the level: its groups, with labels if there are any, and "cluster" if there are regions.
    texts : bool
        Whether the labels are the user's texts.

    Returns
    -------
    colours : numpy.ndarray (M, 3)
        Grey for cells of which nothing is known.
    kind : str
        "class", "text" or "region"; empty if nothing is known.
    """
    if "group.class" in columns:
        first = columns["groups"][:-1].astype(np.int64)
        best = columns["group.class"].reshape(len(columns["group.claimed"]), -1)[first, 0].astype(np.int64)
        return category_colours(np.where(columns["group.claimed"][first] > 0, best, -1)), "text" if texts else "class"
    if "cluster" in columns:
        return category_colours(columns["cluster"].astype(np.int64)), "region"
    return category_colours(np.full(len(columns["kind"]), -1)), ""


def _further(
    pictured: Pictured,
    level: Level,
    groups: Groups,
    made: NDArray[np.uint8],
    starts: NDArray[np.int64],
    depth: int,
    columns: dict[str, NDArray[Any]],
) -> Any:
    """Add sheets of the icons of all groups but the first of each cell; `group.further` numbers them from 1."""
    other = groups.icons >= 0
    other[starts] = False
    columns["group.further"] = np.where(other, np.cumsum(other), 0).astype(np.uint32)
    rows = groups.icons[other]
    if not len(rows):
        return None
    bounds = [*range(0, len(rows), ACROSS**2), len(rows)]
    return pictured.add(f"more-{level.size}", made[rows], bounds, lambda _: ICON_RANK + depth, ACROSS)


def _resized(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Square pictures resized by nearest-neighbour interpolation."""
    where = np.arange(side) * pictures.shape[1] // side
    return pictures[:, where][:, :, where]
