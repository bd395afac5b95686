"""The fourth step of an atlas: a map cut into cells, coarse to fine, each with the mean of what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Frame, Grid, Level
from phosphene.atlas.splitting import directions, split
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["LEVELS", "GridSettings", "fit_frame", "grid", "sums_of"]

LEVELS = (10, 20, 40, 80, 160)
"""Cells along a side: an exact pyramid, each cell is four of the next level."""

BLOCK = 50_000
"""Points whose activations are held in double precision at once."""


@dataclass(frozen=True)
class GridSettings:
    """How a map is cut.

    Attributes
    ----------
    levels : tuple of int, optional
        Cells along a side, coarse to fine, each a divisor of the next. When absent those of 10, 20, 40, 80, 160 in which at
        least half of the points lie in cells that are full enough (the first of them always).
    minimum : int, default 5
        Points that a cell must have to be kept.
    percentile : float, default 1.0
        The map's frame: between this percentile and that as far from the other end, on each axis ...
    margin : float, default 0.1
        ... and so much of that width more, on all four sides alike. What lies outside is an outlier.
    split_below, split_gain : float, default 0.8, 0.05
        When a cell is taken apart; see `phosphene.atlas.splitting.split`. 0 and below: never.
    seed : int, default 0
        Of the splits.
    """

    levels: tuple[int, ...] | None = None
    minimum: int = 5
    percentile: float = 1.0
    margin: float = 0.1
    split_below: float = 0.8
    split_gain: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        integer("minimum", self.minimum, minimum=1)
        integer("seed", self.seed)
        if not 0 <= self.percentile < 50:
            raise InvalidParameter(
                "percentile", allowed="a number in [0, 50)", received=self.percentile, fix="1 is usual."
            )
        if not self.margin >= 0:
            raise InvalidParameter(
                "margin", allowed="a number of at least 0", received=self.margin, fix="0.1 is usual."
            )
        if self.levels is not None:
            for level in self.levels:
                integer("levels", level, minimum=1)
            uneven = any(fine <= coarse or fine % coarse for coarse, fine in pairwise(self.levels))
            if not self.levels or uneven:
                raise InvalidParameter(
                    "levels", allowed="numbers that each divide the next, coarse to fine", received=self.levels,
                    fix="For example levels=(10, 20, 40): a cell is then tiled by those below it.",
                )  # fmt: skip


def fit_frame(points: NDArray[np.floating], percentile: float = 1.0, margin: float = 0.1) -> Frame:
    """A frame around most of the points, whatever a few of them do; see `GridSettings`."""
    rows = np.asarray(points, np.float64)
    low, high = np.percentile(rows, [percentile, 100.0 - percentile], axis=0)
    width = high - low
    # A map without width on one axis gets that of the other: its points then lie in one row of cells.
    width = np.where(width > 0, width, width.max() if width.max() > 0 else 1.0)
    middle = (low + high) / 2
    half = width * (0.5 + margin)
    # The upper edge does not belong to a half-open frame; without a margin its own points would fall out.
    half = half * (1 + 1e-9) + 4 * np.spacing(np.abs(middle) + half)
    return Frame(middle - half, middle + half)


def grid(points: NDArray[np.floating], vectors: NDArray[np.floating], settings: GridSettings | None = None) -> Grid:
    """A layout cut into cells at several levels.

    Parameters
    ----------
    points : (N, 2)
        The layout.
    vectors : (N, C)
        The activations that are averaged.
    settings : GridSettings, optional

    Returns
    -------
    Grid

    Raises
    ------
    InvalidParameter
        For points and vectors of different numbers, points that are not finite, and too few points for a level that was asked
        for: none of its cells has enough.
    """
    settings = settings or GridSettings()
    if np.ndim(points) != 2 or np.shape(points)[1:] != (2,) or len(points) != len(vectors):
        raise InvalidParameter(
            "points", allowed=f"shape ({len(vectors)}, 2), one a vector", received=said(f"shape {np.shape(points)}"), fix=""
        )  # fmt: skip
    if not np.isfinite(points).all():
        raise InvalidParameter("points", allowed="finite numbers", received=said("infinity or NaN"), fix="")
    frame = fit_frame(points, settings.percentile, settings.margin)
    unit = frame.unit(points)
    outliers: NDArray[np.bool_] = np.any((unit < 0) | (unit >= 1), axis=1)
    inside = np.flatnonzero(~outliers)
    wanted = settings.levels or LEVELS
    finest = wanted[-1]
    # Rounding of the product may reach the upper edge where the factor does not.
    column, row = np.minimum(np.floor(unit[inside] * finest).astype(np.int64), finest - 1).T
    chosen = _levels(wanted, row, column, len(inside), settings)
    return Grid(frame, unit, outliers, tuple(_cut(inside, row, column, finest, chosen, vectors, len(unit), settings)))


def sums_of(
    vectors: NDArray[np.floating], members: NDArray[np.integer], starts: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    """Sums of vectors and of their directions over runs of `members`: two ``(len(starts) - 1, C)``; no run may be empty."""
    shape = (len(starts) - 1, vectors.shape[1])
    plain, unit = np.empty(shape), np.empty(shape)
    first = 0
    while first < shape[0]:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK, side="right")) - 1)
        rows = np.asarray(vectors[members[starts[first] : starts[last]]], np.float64)
        cuts = starts[first:last] - starts[first]
        plain[first:last] = np.add.reduceat(rows, cuts, axis=0)
        unit[first:last] = np.add.reduceat(directions(rows), cuts, axis=0)
        first = last
    return plain, unit


def _levels(
    wanted: tuple[int, ...], row: NDArray[Any], column: NDArray[Any], total: int, settings: GridSettings
) -> list[int]:
    finest = wanted[-1]
    chosen: list[int] = []
    for size in wanted:
        step = finest // size
        counts = np.bincount(row // step * size + column // step, minlength=1)
        full = int(counts[counts >= settings.minimum].sum())
        if full == 0 and (settings.levels is not None or not chosen):
            raise InvalidParameter(
                "levels", allowed=f"levels whose cells have {settings.minimum} points or more (minimum={settings.minimum})",
                received=said(f"{size}, where {total:,} points leave at most {int(counts.max(initial=0))} in a cell"),
                fix=f"Collect more points, lower the minimum, or stop at {chosen[-1]}." if chosen else
                "Collect more points, lower the minimum, or take coarser levels.",
            )  # fmt: skip
        if settings.levels is None and chosen and full < total / 2:
            break
        chosen.append(size)
    return chosen


def _cut(
    inside: NDArray[Any], row: NDArray[Any], column: NDArray[Any], finest: int, chosen: list[int],
    vectors: NDArray[np.floating], total: int, settings: GridSettings,
) -> list[Level]:  # fmt: skip
    """Levels from the finest up, so that activations are summed once; handed back from the coarsest down."""
    found: list[Level] = []
    sums: tuple[Floats, Floats] | None = None
    for size in reversed(chosen):
        step = finest // size
        codes, cell, counts = np.unique(row // step * size + column // step, return_inverse=True, return_counts=True)
        order = np.argsort(cell, kind="stable")
        members, starts = inside[order], np.concatenate([[0], np.cumsum(counts)])
        if sums is None:
            sums = sums_of(vectors, members, starts)
        else:
            below, ratio = found[-1], found[-1].size // size
            parents = np.searchsorted(codes, below.cells[:, 0] // ratio * size + below.cells[:, 1] // ratio)
            sums = _added(sums[0], parents, len(codes)), _added(sums[1], parents, len(codes))
        means, concentration = _means(sums[0], sums[1], counts)
        kept = counts >= settings.minimum
        cell_of = np.full(total, -1, np.int32)
        cell_of[inside] = cell
        cells = np.stack(np.divmod(codes, size), axis=1).astype(np.int32)
        groups = _groups(vectors, members, starts, kept, cells, size, settings)
        found.append(
            Level(size, cells, counts, kept, means.astype(np.float32), concentration, cell_of, *groups)
        )  # fmt: skip
    return found[::-1]


def _means(plain: Floats, unit: Floats, counts: NDArray[Any]) -> tuple[Floats, Floats]:
    means = plain / counts[:, None]
    return means, np.einsum("mc,mc->m", unit / counts[:, None], directions(means))


def _added(parts: Floats, owners: NDArray[Any], count: int) -> Floats:
    """Sums of the rows of each owner."""
    found = np.zeros((count, parts.shape[1]))
    np.add.at(found, owners, parts)
    return found


def _groups(
    vectors: NDArray[np.floating], members: NDArray[Any], starts: NDArray[Any], kept: NDArray[np.bool_],
    cells: NDArray[np.int32], size: int, settings: GridSettings,
) -> tuple[NDArray[Any], ...]:  # fmt: skip
    """Members in the order of groups, and the groups."""
    members = members.copy()
    cuts: list[int] = []
    owners: list[int] = []
    for cell in range(len(cells)):
        begin, end = int(starts[cell]), int(starts[cell + 1])
        sizes = [end - begin]
        if kept[cell] and settings.split_below > 0:
            run = members[begin:end]
            random = generator(settings.seed, "atlas split", str(size), *map(str, cells[cell]))
            labels = split(
                directions(vectors[run]), random, least=settings.minimum, below=settings.split_below,
                gain=settings.split_gain,
            )  # fmt: skip
            members[begin:end] = run[np.argsort(labels, kind="stable")]
            sizes = np.bincount(labels).tolist()
        for part in sizes:
            cuts.append(begin)
            owners.append(cell)
            begin += part
    group_starts = np.array([*cuts, len(members)], np.int64)
    means, agreed = _means(*sums_of(vectors, members, group_starts), np.diff(group_starts))
    return members, group_starts, np.array(owners, np.int32), means.astype(np.float32), agreed
