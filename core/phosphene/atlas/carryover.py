"""How what one layer groups together is grouped by another: where the points of each region go, and what is chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.neighbours import Neighbours
from phosphene.atlas.procrustes import disparity
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.types import Floats

__all__ = [
    "Carryover", "Flow", "adjusted_mutual_information", "carry_over", "carry_overs", "contingency", "neighbour_overlap",
]  # fmt: skip

BLOCK = 10_000
"""Points whose neighbours are compared at once."""

PARTS = ("clusters", "cells")


@dataclass(frozen=True)
class Flow:
    """Where a part of the points of one region goes.

    Attributes
    ----------
    to : int
        Number of the region in the other layer.
    points : int
    share : float
        Of the points of the region that they come from.
    lift : float
        That share over the share of all points that the other region holds: 1 is what chance gives.
    """

    to: int
    points: int
    share: float
    lift: float


@dataclass(frozen=True)
class Carryover:
    """What two layers have in common, over the same points.

    Attributes
    ----------
    layers : (str, str)
        From the first to the second.
    size : int
        The level: cells along a side.
    parts : "clusters" or "cells"
        What the regions are.
    names : (tuple of str, tuple of str)
        Of the regions of each layer.
    table : (K, L) int64
        Points in region k of the first layer and region l of the second. Points that are in none of a layer are left out.
    mutual_information : float
        Adjusted for chance (Vinh, Epps and Bailey 2010): 1 where both layers group alike, about 0 where they do so by chance.
    disparity : float
        Of the two layouts, after moving, turning, mirroring and scaling: 0 is the same map, 1 has nothing in common.
    overlap : float
        Part of a point's nearest neighbours that are so in both layers.
    overlap_chance : float
        What that would be of neighbours at random.
    neighbours : int
        How many counted.
    """

    layers: tuple[str, str]
    size: int
    parts: str
    names: tuple[tuple[str, ...], tuple[str, ...]]
    table: NDArray[np.int64]
    mutual_information: float
    disparity: float
    overlap: float
    overlap_chance: float
    neighbours: int

    @property
    def shares(self) -> Floats:
        """Part of each region's points that goes to each region of the other layer, ``(K, L)``; zeros for an empty one."""
        total = self.table.sum(axis=1, keepdims=True)
        return np.asarray(self.table / np.maximum(total, 1), np.float64)

    @property
    def spread(self) -> Floats:
        """Into how many regions of equal size each one's points could have gone to be as mixed, ``(K,)``: 1 is into one."""
        shares = self.shares
        logarithms = np.log(np.where(shares > 0, shares, 1.0))
        return np.asarray(np.exp(-(shares * logarithms).sum(axis=1)), np.float64)

    def flows(self, region: int, most: int = 3) -> tuple[Flow, ...]:
        """Where the points of a region go, the largest share first.

        Parameters
        ----------
        region : int
            Of the first layer.
        most : int, default 3

        Returns
        -------
        tuple of Flow
            Only such as hold points.
        """
        region, most = integer("region", region, minimum=0), integer("most", most, minimum=1)
        if region >= len(self.table):
            raise InvalidParameter("region", allowed=f"0 to {len(self.table) - 1}", received=region, fix="")
        row, base = self.table[region], self.table.sum(axis=0) / max(1, self.table.sum())
        order = np.argsort(-row, kind="stable")[:most]
        total = max(1, int(row.sum()))
        return tuple(
            Flow(int(to), int(row[to]), float(row[to] / total), float(row[to] / total / base[to]))
            for to in order
            if row[to] > 0
        )


def carry_over(
    atlas: Atlas, first: str, second: str, size: int, *, parts: str = "clusters", neighbours: int = 15
) -> Carryover:
    """What carries over from one layer of an atlas to another, at one level.

    Parameters
    ----------
    atlas : Atlas
        One that was charted.
    first, second : str
        Layers.
    size : int
        The level: cells along a side.
    parts : "clusters" or "cells", default "clusters"
    neighbours : int, default 15
        Of each point in each layer's graph; at most as many as both have.

    Returns
    -------
    Carryover

    Raises
    ------
    InvalidParameter
        For layers that were not charted, one layer twice, a level that was not cut, and other parts.
    """
    if parts not in PARTS:
        raise InvalidParameter(
            "parts", allowed=" or ".join(map(repr, PARTS)), received=parts, fix="Clusters have names, cells do not."
        )
    for name, layer in (("first", first), ("second", second)):
        if layer not in atlas.layers:
            near = nearest(layer, atlas.layers)
            raise InvalidParameter(
                name, allowed=" or ".join(map(repr, atlas.layers)), received=layer, fix=f"Did you mean {near}?" if near else ""
            )  # fmt: skip
    if first == second:
        raise InvalidParameter("second", allowed=f"another layer than {first!r}", received=second, fix="")
    one, one_names = _regions(atlas, first, size, parts)
    other, other_names = _regions(atlas, second, size, parts)
    table = contingency(one, other, len(one_names), len(other_names))
    graphs = atlas.neighbours(first), atlas.neighbours(second)
    count = min(integer("neighbours", neighbours, minimum=1), *(graph.count for graph in graphs))
    return Carryover(
        (first, second), size, parts, (one_names, other_names), table, adjusted_mutual_information(table),
        disparity(atlas.layout(first).points, atlas.layout(second).points), neighbour_overlap(*graphs, count),
        count / max(1, len(graphs[0].indices) - 1), count,
    )  # fmt: skip


def carry_overs(atlas: Atlas, size: int, *, parts: str = "clusters", neighbours: int = 15) -> tuple[Carryover, ...]:
    """`carry_over` of each layer and the next, in the order in which they were collected."""
    there = [layer for layer in atlas.layers if f"clusters.{layer}" in atlas.steps.names]
    return tuple(carry_over(atlas, one, two, size, parts=parts, neighbours=neighbours) for one, two in pairwise(there))


def contingency(
    one: NDArray[np.integer], other: NDArray[np.integer], rows: int | None = None, columns: int | None = None
) -> NDArray[np.int64]:
    """How many points are in each region of one grouping and each of another.

    Parameters
    ----------
    one, other : (N,) of int
        Region of each point; those that are -1 in either are left out.
    rows, columns : int, optional
        Regions of each; as many as occur when absent.

    Returns
    -------
    numpy.ndarray (rows, columns) int64

    Raises
    ------
    InvalidParameter
        For groupings of different points.
    """
    left, right = np.asarray(one, np.int64), np.asarray(other, np.int64)
    if left.shape != right.shape or left.ndim != 1:
        raise InvalidParameter(
            "other", allowed=f"a region for each of the {left.size} points", received=said(f"shape {right.shape}"), fix=""
        )  # fmt: skip
    high = int(left.max(initial=-1)) + 1 if rows is None else rows
    wide = int(right.max(initial=-1)) + 1 if columns is None else columns
    both = (left >= 0) & (right >= 0)
    return np.bincount(left[both] * wide + right[both], minlength=high * wide).reshape(high, wide)


def adjusted_mutual_information(table: NDArray[np.integer]) -> float:
    """How far two groupings agree, beyond what groups of these sizes would by chance (Vinh, Epps and Bailey 2010).

    Parameters
    ----------
    table : (K, L) of int
        See `contingency`.

    Returns
    -------
    float
        ``(I - E[I]) / (mean of both entropies - E[I])``. 1 for equal groupings; about 0 by chance, and below it for less.
        1 as well where neither of the two groups anything: all in one, or each alone.
    """
    counts = np.asarray(table, np.int64)
    rows, columns = (side[side > 0] for side in (counts.sum(axis=1), counts.sum(axis=0)))
    total = int(counts.sum())
    if len(rows) == len(columns) and len(rows) in (0, 1, total):
        return 1.0
    places = np.nonzero(counts)
    found = counts[places] / total
    product = counts.sum(axis=1)[places[0]] * counts.sum(axis=0)[places[1]].astype(np.float64)
    information = float((found * np.log(total * counts[places] / product)).sum())
    expected = _expected(rows, columns, total)
    mean = (_entropy(rows / total) + _entropy(columns / total)) / 2
    bound = mean - expected
    return float((information - expected) / bound) if abs(bound) > 1e-15 else 0.0


def neighbour_overlap(one: Neighbours, other: Neighbours, count: int = 15) -> float:
    """Part of the nearest neighbours of a point that two graphs of the same points share, averaged over points.

    Parameters
    ----------
    one, other : Neighbours
    count : int, default 15
        Neighbours of each point; at most as many as both graphs have.

    Returns
    -------
    float
        1 where all are shared; of neighbours at random ``count / (N - 1)``.

    Raises
    ------
    InvalidParameter
        For graphs of different points.
    """
    many = len(one.indices)
    if len(other.indices) != many:
        raise InvalidParameter(
            "other", allowed=f"a graph of the {many} points", received=said(f"one of {len(other.indices)}"), fix=""
        )
    count = min(count, one.count, other.count)
    shared = 0
    for begin in range(0, many, BLOCK):
        left, right = (graph.indices[begin : begin + BLOCK, :count] for graph in (one, other))
        shared += int((left[:, :, None] == right[:, None]).any(axis=2).sum())
    return shared / max(1, many * count)


def _regions(atlas: Atlas, layer: str, size: int, parts: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Which region each point is in, and the regions' names."""
    if parts == "clusters":
        found = atlas.clusters(layer, size)
        return found.cluster_of, found.names
    level = atlas.grid(layer).level(size)
    return level.cell_of, tuple(f"row {row}, column {column}" for row, column in level.cells.tolist())


def _entropy(shares: Floats) -> float:
    return float(-(shares * np.log(shares)).sum())


def _expected(rows: NDArray[np.int64], columns: NDArray[np.int64], total: int) -> float:
    """Mean mutual information of two groupings at random with groups of these sizes: a hypergeometric sum for each pair."""
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1, dtype=np.float64)))])
    found = 0.0
    # Pairs of groups of equal sizes have equal terms.
    (highs, many_high), (wides, many_wide) = (np.unique(side, return_counts=True) for side in (rows, columns))
    for a, times in zip(highs.tolist(), many_high.tolist(), strict=True):
        for b, more in zip(wides.tolist(), many_wide.tolist(), strict=True):
            n = np.arange(max(1, a + b - total), min(a, b) + 1)
            logarithm = (
                factorial[a] + factorial[b] + factorial[total - a] + factorial[total - b] - factorial[total]
                - factorial[n] - factorial[a - n] - factorial[b - n] - factorial[total - a - b + n]
            )  # fmt: skip
            term = n / total * np.log(total * n / (float(a) * b)) * np.exp(logarithm)
            found += times * more * float(term.sum())
    return found
