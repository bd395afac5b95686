"""Step 5 of an atlas: divide the map into cells at several levels, each with the mean activation of its points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Frame, Grid, Level
from phosphene.atlas.partition import directions, split
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import LARGEST_SIDE, integer, integers, number, seed_of
from phosphene.types import Floats

__all__ = ["LEVELS", "GridSettings", "fit_frame", "grid", "sums_of"]

LEVELS = (10, 20, 40, 80, 160)
"""Cells per side of each level: an exact pyramid in which each cell is four of the next level."""

BLOCK = 50_000
"""Number of points whose activations are held in double precision at once."""


@dataclass(frozen=True)
class GridSettings:
    """Settings of the cells.

    Attributes
    ----------
    levels : tuple of int, optional
        Cells per side, coarse to fine, each a divisor of the next (default: 10, and those of 20, 40, 80, 160 at which at least
        half of the points lie in cells with `minimum` points).
    minimum : int, default 5
        Minimum number of points for a cell to be kept.
    percentile : float, default 1.0
        The map's frame spans this percentile to its complement on each axis, in [0, 50).
    margin : float, default 0.1
        Margin around that span on all four sides, as a fraction of its width. Points outside the frame are outliers.
    split_below, split_gain : float, default 0.8, 0.05
        When a cell is split; see `phosphene.atlas.partition.split`. With `split_below` of 0 or less, never.
    seed : int, default 0
        Random seed of the splits.
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
        seed_of(self.seed)
        if number("percentile", self.percentile, minimum=0, example=1) >= 50:
            raise InvalidParameter(
                "percentile", allowed="a number in [0, 50)", received=self.percentile, fix="For example percentile=1."
            )
        number("split_below", self.split_below, example=0.8)
        number("split_gain", self.split_gain, example=0.05)
        number("margin", self.margin, minimum=0, example=0.1)
        if self.levels is not None:
            levels = integers(
                "levels", self.levels, minimum=1, maximum=LARGEST_SIDE, fix="For example levels=(10, 20)."
            )
            object.__setattr__(self, "levels", levels)
            uneven = any(fine <= coarse or fine % coarse for coarse, fine in pairwise(self.levels))
            if not self.levels or uneven:
                raise InvalidParameter(
                    "levels",
                    allowed="integers that each divide the next, coarse to fine",
                    received=self.levels,
                    fix="For example levels=(10, 20, 40), so that each cell consists of whole cells of the next level.",
                )


def fit_frame(points: NDArray[np.floating], percentile: float = 1.0, margin: float = 0.1) -> Frame:
    """A frame around the points that is robust to outliers; see `GridSettings`."""
    rows = np.asarray(points, np.float64)
    low, high = np.percentile(rows, [percentile, 100.0 - percentile], axis=0)
    width = high - low
    # An axis of zero width gets the width of the other, so that the points lie in one row of cells.
    width = np.where(width > 0, width, width.max() if width.max() > 0 else 1.0)
    middle = (low + high) / 2
    half = width * (0.5 + margin)
    # The frame is half-open: without this, points on its upper edge would be outliers if there is no margin.
    half = half * (1 + 1e-9) + 4 * np.spacing(np.abs(middle) + half)
    return Frame(middle - half, middle + half)


def grid(points: NDArray[np.floating], vectors: NDArray[np.floating], settings: GridSettings | None = None) -> Grid:
    """Divide a layout into cells at several levels.

    Parameters
    ----------
    points : (N, 2)
        The layout.
    vectors : (N, C)
        The activations to average.
    settings : GridSettings, optional

    Returns
    -------
    Grid

    Raises
    ------
    InvalidParameter
        For different numbers of points and vectors, points that are not finite, and a requested level of which no cell has
        enough points.
    """
    settings = settings or GridSettings()
    if np.ndim(points) != 2 or np.shape(points)[1:] != (2,) or len(points) != len(vectors):
        raise InvalidParameter(
            "points",
            allowed=f"shape ({len(vectors)}, 2), one row per vector",
            received=said(f"shape {np.shape(points)}"),
            fix="Pass the layout of the same vectors.",
        )
    if not np.isfinite(points).all():
        raise InvalidParameter(
            "points",
            allowed="finite numbers",
            received=said("infinity or NaN"),
            fix="Remove these points and their vectors.",
        )
    frame = fit_frame(points, settings.percentile, settings.margin)
    unit = frame.unit(points)
    outliers: NDArray[np.bool_] = np.any((unit < 0) | (unit >= 1), axis=1)
    inside = np.flatnonzero(~outliers)
    wanted = settings.levels or LEVELS
    finest = wanted[-1]
    # The product can round up to the upper edge although the factor is below 1.
    column, row = np.minimum(np.floor(unit[inside] * finest).astype(np.int64), finest - 1).T
    chosen = _levels(wanted, row, column, len(inside), settings)
    return Grid(frame, unit, outliers, tuple(_cut(inside, row, column, finest, chosen, vectors, len(unit), settings)))


def sums_of(
    vectors: NDArray[np.floating], members: NDArray[np.integer], starts: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    """Sums of vectors and of their directions over runs of `members`, both ``(len(starts) - 1, C)``; no run may be empty."""
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
                "levels",
                allowed=f"levels with at least one cell of {settings.minimum} or more points (minimum={settings.minimum})",
                received=said(
                    f"{size}, at which no cell has more than {int(counts.max(initial=0))} of the {total:,} points"
                ),
                fix=f"Collect more points, lower the minimum, or stop at level {chosen[-1]}."
                if chosen
                else "Collect more points, lower the minimum, or use coarser levels.",
            )
        if settings.levels is None and chosen and full < total / 2:
            break
        chosen.append(size)
    return chosen


def _cut(
    inside: NDArray[Any],
    row: NDArray[Any],
    column: NDArray[Any],
    finest: int,
    chosen: list[int],
    vectors: NDArray[np.floating],
    total: int,
    settings: GridSettings,
) -> list[Level]:
    """Levels, computed from the finest up so that activations are summed once; returned coarse to fine."""
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
        found.append(Level(size, cells, counts, kept, means.astype(np.float32), concentration, cell_of, *groups))
    return found[::-1]


def _means(plain: Floats, unit: Floats, counts: NDArray[Any]) -> tuple[Floats, Floats]:
    means = plain / counts[:, None]
    return means, np.einsum("mc,mc->m", unit / counts[:, None], directions(means))


def _added(parts: Floats, owners: NDArray[Any], count: int) -> Floats:
    """Sums of the rows by owner."""
    found = np.zeros((count, parts.shape[1]))
    np.add.at(found, owners, parts)
    return found


def _groups(
    vectors: NDArray[np.floating],
    members: NDArray[Any],
    starts: NDArray[Any],
    kept: NDArray[np.bool_],
    cells: NDArray[np.int32],
    size: int,
    settings: GridSettings,
) -> tuple[NDArray[Any], ...]:
    """Members sorted by group, and the fields of the groups."""
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
                directions(vectors[run]),
                random,
                least=settings.minimum,
                below=settings.split_below,
                gain=settings.split_gain,
            )
            members[begin:end] = run[np.argsort(labels, kind="stable")]
            sizes = np.bincount(labels).tolist()
        for part in sizes:
            cuts.append(begin)
            owners.append(cell)
            begin += part
    group_starts = np.array([*cuts, len(members)], np.int64)
    means, agreed = _means(*sums_of(vectors, members, group_starts), np.diff(group_starts))
    return members, group_starts, np.array(owners, np.int32), means.astype(np.float32), agreed
