"""How the regions of one layer carry over to another: the flow of their points, compared with chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.neighbours import Neighbours
from phosphene.atlas.procrustes import disparity
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import choice, integer
from phosphene.types import Floats

__all__ = [
    "Carryover",
    "Flow",
    "adjusted_mutual_information",
    "carry_over",
    "carry_overs",
    "contingency",
    "neighbour_overlap",
]

BLOCK = 10_000
"""Number of points whose neighbours are compared at once."""

PARTS = ("clusters", "cells")


@dataclass(frozen=True)
class Flow:
    """The points that one region shares with a region of another layer.

    Attributes
    ----------
    to : int
        Index of the region in the other layer.
    points : int
        Number of shared points.
    share : float
        Share of the points of the first region.
    lift : float
        That share relative to the share of all points in the other region: 1 by chance.
    """

    to: int
    points: int
    share: float
    lift: float


@dataclass(frozen=True)
class Carryover:
    """What two layers have in common, for the same points.

    Attributes
    ----------
    layers : (str, str)
        The first and the second layer.
    size : int
        The level: cells per side.
    parts : "clusters" or "cells"
        Kind of the regions.
    names : (tuple of str, tuple of str)
        Names of the regions of each layer.
    table : (K, L) int64
        Contingency table: number of points in region k of the first layer and region l of the second. Points that belong to no
        region of one of the layers are left out.
    mutual_information : float
        Adjusted mutual information (Vinh, Epps and Bailey 2010): 1 for equal regions, about 0 by chance.
    disparity : float
        Procrustes disparity of the two layouts: 0 for the same map, 1 for maps with nothing in common.
    overlap : float
        Mean share of a point's nearest neighbours that are the same in both layers.
    overlap_chance : float
        Expected overlap of random neighbours.
    neighbours : int
        Size of the neighbourhoods.
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
        """Share of each region's points in each region of the other layer, ``(K, L)``; zeros for an empty region."""
        total = self.table.sum(axis=1, keepdims=True)
        return np.asarray(self.table / np.maximum(total, 1), np.float64)

    @property
    def spread(self) -> Floats:
        """Effective number of regions of the other layer per region, ``(K,)``: the exponential of the entropy."""
        shares = self.shares
        logarithms = np.log(np.where(shares > 0, shares, 1.0))
        return np.asarray(np.exp(-(shares * logarithms).sum(axis=1)), np.float64)

    def flows(self, region: int, most: int = 3) -> tuple[Flow, ...]:
        """The regions of the second layer that share most points with a region, largest share first.

        Parameters
        ----------
        region : int
            Index of the region in the first layer.
        most : int, default 3
            Maximum number of flows.

        Returns
        -------
        tuple of Flow
            Flows with at least one point.
        """
        region = integer("region", region, minimum=0, maximum=len(self.table) - 1)
        most = integer("most", most, minimum=1)
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
    """Compare the regions of two layers of an atlas at one level.

    Parameters
    ----------
    atlas : Atlas
        An atlas with maps of both layers; see `phosphene.atlas.chart`.
    first, second : str
        Layers.
    size : int
        The level: cells per side.
    parts : "clusters" or "cells", default "clusters"
        Kind of the regions.
    neighbours : int, default 15
        Size of the neighbourhoods; at most as many as both graphs have.

    Returns
    -------
    Carryover

    Raises
    ------
    InvalidParameter
        For layers without a map, the same layer twice, a level that the map does not have, and invalid `parts`.
    """
    choice("parts", parts, PARTS)
    for name, layer in (("first", first), ("second", second)):
        choice(name, layer, atlas.layers)
    if first == second:
        raise InvalidParameter(
            "second",
            allowed=f"a layer other than {first!r}",
            received=second,
            fix="Choose two layers of the atlas; atlas.layers lists them.",
        )
    one, one_names = _regions(atlas, first, size, parts)
    other, other_names = _regions(atlas, second, size, parts)
    table = contingency(one, other, len(one_names), len(other_names))
    graphs = atlas.neighbours(first), atlas.neighbours(second)
    count = min(integer("neighbours", neighbours, minimum=1), *(graph.count for graph in graphs))
    return Carryover(
        (first, second),
        size,
        parts,
        (one_names, other_names),
        table,
        adjusted_mutual_information(table),
        disparity(atlas.layout(first).points, atlas.layout(second).points),
        neighbour_overlap(*graphs, count),
        count / max(1, len(graphs[0].indices) - 1),
        count,
    )


def carry_overs(atlas: Atlas, size: int, *, parts: str = "clusters", neighbours: int = 15) -> tuple[Carryover, ...]:
    """`carry_over` for each pair of consecutive layers, in the order in which they were collected."""
    there = [layer for layer in atlas.layers if f"clusters.{layer}" in atlas.steps.names]
    return tuple(carry_over(atlas, one, two, size, parts=parts, neighbours=neighbours) for one, two in pairwise(there))


def contingency(
    one: NDArray[np.integer], other: NDArray[np.integer], rows: int | None = None, columns: int | None = None
) -> NDArray[np.int64]:
    """The contingency table of two groupings: the number of points in each region of one and each of the other.

    Parameters
    ----------
    one, other : (N,) of int
        Region of each point; points with -1 in either are left out.
    rows, columns : int, optional
        Number of regions of each (default: as many as occur).

    Returns
    -------
    numpy.ndarray (rows, columns) int64

    Raises
    ------
    InvalidParameter
        For groupings with different numbers of points.
    """
    left, right = np.asarray(one, np.int64), np.asarray(other, np.int64)
    if left.shape != right.shape or left.ndim != 1:
        raise InvalidParameter(
            "other",
            allowed=f"an array of shape ({left.size},), one region per point",
            received=said(f"shape {right.shape}"),
            fix="Compare groupings of the same points.",
        )
    high = int(left.max(initial=-1)) + 1 if rows is None else rows
    wide = int(right.max(initial=-1)) + 1 if columns is None else columns
    both = (left >= 0) & (right >= 0)
    return np.bincount(left[both] * wide + right[both], minlength=high * wide).reshape(high, wide)


def adjusted_mutual_information(table: NDArray[np.integer]) -> float:
    """The mutual information of two groupings, adjusted for chance (Vinh, Epps and Bailey 2010).

    Parameters
    ----------
    table : (K, L) of int
        See `contingency`.

    Returns
    -------
    float
        ``(I - E[I]) / (mean of both entropies - E[I])``: 1 for equal groupings, about 0 by chance, negative for less. Also 1 if
        both groupings are trivial: all points in one group, or each point in its own.
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
    """Mean share of the nearest neighbours of a point that are the same in two graphs of the same points.

    Parameters
    ----------
    one, other : Neighbours
    count : int, default 15
        Size of the neighbourhoods; at most as many as both graphs have.

    Returns
    -------
    float
        1 if all are shared; ``count / (N - 1)`` by chance.

    Raises
    ------
    InvalidParameter
        For graphs with different numbers of points.
    """
    many = len(one.indices)
    if len(other.indices) != many:
        raise InvalidParameter(
            "other",
            allowed=f"a graph of the {many} points of the first",
            received=said(f"one of {len(other.indices)} points"),
            fix="Compare layers of the same atlas.",
        )
    count = min(count, one.count, other.count)
    shared = 0
    for begin in range(0, many, BLOCK):
        left, right = (graph.indices[begin : begin + BLOCK, :count] for graph in (one, other))
        shared += int((left[:, :, None] == right[:, None]).any(axis=2).sum())
    return shared / max(1, many * count)


def _regions(atlas: Atlas, layer: str, size: int, parts: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """The region of each point, and the names of the regions."""
    if parts == "clusters":
        found = atlas.clusters(layer, size)
        return found.cluster_of, found.names
    level = atlas.grid(layer).level(size)
    return level.cell_of, tuple(f"row {row}, column {column}" for row, column in level.cells.tolist())


def _entropy(shares: Floats) -> float:
    return float(-(shares * np.log(shares)).sum())


def _expected(rows: NDArray[np.int64], columns: NDArray[np.int64], total: int) -> float:
    """Expected mutual information of random groupings with these sizes: a hypergeometric sum for each pair of groups."""
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1, dtype=np.float64)))])
    found = 0.0
    # Pairs of groups of equal sizes have equal terms.
    (highs, many_high), (wides, many_wide) = (np.unique(side, return_counts=True) for side in (rows, columns))
    for a, times in zip(highs.tolist(), many_high.tolist(), strict=True):
        for b, more in zip(wides.tolist(), many_wide.tolist(), strict=True):
            n = np.arange(max(1, a + b - total), min(a, b) + 1)
            logarithm = (
                factorial[a]
                + factorial[b]
                + factorial[total - a]
                + factorial[total - b]
                - factorial[total]
                - factorial[n]
                - factorial[a - n]
                - factorial[b - n]
                - factorial[total - a - b + n]
            )
            term = n / total * np.log(total * n / (float(a) * b)) * np.exp(logarithm)
            found += times * more * float(term.sum())
    return found
