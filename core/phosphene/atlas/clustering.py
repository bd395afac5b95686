"""Step 7 of an atlas: cluster the points into regions, nested from level to level."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Grid, Level, within
from phosphene.atlas.labels import Labels
from phosphene.atlas.neighbours import Neighbours
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import integer, number
from phosphene.kit.records import from_arrays
from phosphene.types import Floats

__all__ = ["ClusterSettings", "Clusters", "cluster", "log_density", "named"]

UNNAMED = "unnamed"


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of the clusters.

    Attributes
    ----------
    neighbours : int, default 10
        Number of neighbours from which the density is estimated; at most as many as the graph has. It is also the minimum size
        of a cluster that touches another.
    prominence : float, default 3.0
        Number of standard errors by which the density at a peak must exceed that at the pass to a higher peak. In simulations
        of clouds without structure, 3 split 1 of 24; 2 split some into up to 15 clusters.
    cells : float, default 1.0
        Minimum size of a cluster that touches another, in average non-empty cells of its level. A level therefore has at most
        as many such clusters as cells.
    """

    neighbours: int = 10
    prominence: float = 3.0
    cells: float = 1.0

    def __post_init__(self) -> None:
        integer("neighbours", self.neighbours, minimum=2)
        for name in ("prominence", "cells"):
            number(name, getattr(self, name), minimum=0, example=getattr(ClusterSettings, name))


@dataclass(frozen=True)
class Clusters:
    """Clusters of one level, largest first; each lies in one cluster of the next coarser level.

    Attributes
    ----------
    names : tuple of str
        Unique names; see `named`.
    cluster_of : (N,) int32
        Cluster of each point, including outliers of the map.
    counts : (K,) int64
        Number of points of each cluster.
    parents : (K,) int32
        Cluster of the next coarser level that contains each; -1 on the coarsest level.
    peaks : (K,) int64
        Index of the densest point of each cluster, preferably of those inside the map's frame.
    places : (K, 2) float64
        Coordinates of the peak, with the map's frame as the unit square.
    claimed : (K,) bool
        Whether the name is a reliable label.
    density : (N,) float32
        Logarithm of the density at each point in the space of the activations, the same on all levels, scaled so that the 1st
        percentile is 0 and the 99th is 1, and clipped.
    """

    names: Annotated[tuple[str, ...], "K"]
    cluster_of: Annotated[NDArray[np.int32], "N"]
    counts: Annotated[NDArray[np.int64], "K"]
    parents: Annotated[NDArray[np.int32], "K"]
    peaks: Annotated[NDArray[np.int64], "K"]
    places: Annotated[Floats, "K 2"]
    claimed: Annotated[NDArray[np.bool_], "K"]
    density: Annotated[NDArray[np.float32], "N"]

    @property
    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the points sorted by cluster ``(N,)``, and the offsets of the clusters ``(K + 1,)``."""
        starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        return np.argsort(self.cluster_of, kind="stable"), starts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as arrays by name, to be written to a file."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(Clusters)}

    @staticmethod
    def of(arrays: Any) -> Clusters:
        """The inverse of `arrays`."""
        made = from_arrays(Clusters, arrays)
        count, points = len(made.names), len(made.cluster_of)
        if not (
            within(made.cluster_of, 0, count - 1) and within(made.peaks, 0, points - 1) and made.counts.sum() == points
        ):
            raise ValueError("its clusters and peaks are not those of its points")
        return made


def log_density(graph: Neighbours, count: int = 10) -> Floats:
    """Logarithm of the density at each point by its distance to neighbour `count` (Loftsgaarden and Quesenberry 1965).

    Parameters
    ----------
    graph : Neighbours
    count : int, default 10
        Number of the neighbour, at most as many as the graph has.

    Returns
    -------
    numpy.ndarray (N,)
        Up to a constant. The volume of the neighbourhood grows as the distance to the power of the intrinsic dimension, which is
        estimated by maximum likelihood (Levina and Bickel 2004, averaged as in MacKay and Ghahramani 2005). The standard error
        of a value is ``1 / sqrt(count)``, independent of the metric.
    """
    count = min(count, graph.count)
    distances = graph.distances[:, :count].astype(np.float64)
    positive = distances[distances > 0]
    if not len(positive):
        return np.zeros(len(distances))
    # Duplicates would have infinite density; half of the smallest distance bounds it.
    logarithms = np.log(np.maximum(distances, positive.min() / 2))
    spread = float((logarithms[:, -1:] - logarithms[:, :-1]).mean()) if count > 1 else 1.0
    found: Floats = -logarithms[:, -1] / spread if spread > 0 else -logarithms[:, -1]
    return found


def cluster(graph: Neighbours, grid: Grid, settings: ClusterSettings | None = None) -> tuple[Clusters, ...]:
    """Cluster points at each level of a map by the peaks of their density (ToMATo: Chazal, Guibas, Oudot and Skraba 2013).

    Parameters
    ----------
    graph : Neighbours
        Neighbours of the points. Clusters are found in the space of this graph, not on the map, so distortions of the layout do
        not affect them.
    grid : Grid
        Cells of the same points.
    settings : ClusterSettings, optional

    Returns
    -------
    tuple of Clusters
        One per level, coarse to fine, named "cluster 1", "cluster 2", ... by size; see `named` for better names.

    Raises
    ------
    InvalidParameter
        For a graph and a grid with different numbers of points.

    Notes
    -----
    From each point, a path leads to the densest neighbour until it reaches a peak. A peak that is not prominent above the pass
    to a higher one is merged with it. Then, on each level from the finest up, the smallest cluster is merged with the one to
    which its pass is highest, until all clusters are large enough for the level. Clusters of a fine level are therefore nested
    in those of a coarser one. A cluster that is not connected to any other by the graph is kept, however small.
    """
    settings = settings or ClusterSettings()
    if len(graph.indices) != len(grid.points):
        raise InvalidParameter(
            "graph",
            allowed=f"a graph of the {len(grid.points)} points of the grid",
            received=said(f"one of {len(graph.indices)} points"),
            fix="Take both from the same layer.",
        )
    count = min(settings.neighbours, graph.count)
    height = log_density(graph, count)
    low, high = np.percentile(height, [1, 99])
    density = np.clip((height - low) / (high - low if high > low else 1.0), 0, 1).astype(np.float32)
    # Ranks are unique, so every path ends. Two points that are each other's last neighbour have equal density; the sum of
    # distances to all neighbours breaks the tie, independently of the order of the points.
    rank = np.empty(len(height), np.int64)
    rank[np.lexsort((-graph.distances[:, :count].sum(axis=1), height))] = np.arange(len(height))
    edges = _edges(graph, count)
    # Basins are numbered by height, so that ties do not depend on the order of the points.
    tops, basin = np.unique(_climb(rank, edges), return_inverse=True)
    peaks = np.argsort(rank)[tops]
    passes = _passes(height, basin, edges, len(peaks))
    error = np.sqrt(2.0 / count)  # standard error of a difference
    labels = _prominent(height[peaks], passes, settings.prominence * error)[basin]
    found: list[NDArray[np.int64]] = []
    for level in reversed(grid.levels):
        # Clusters that the nearest neighbours do not connect may be connected by farther ones.
        for ends in (edges, _edges(graph, graph.count)):
            labels = np.unique(labels, return_inverse=True)[1]
            sizes = np.bincount(labels)
            if sizes.min() < (least := _least(level, count, settings)):
                labels = _grown(sizes, _passes(height, labels, ends, len(sizes)), least)[labels]
        found.append(labels)
    clusters: list[Clusters] = []
    for labels in reversed(found):
        clusters.append(_clusters(labels, rank, grid, density, clusters[-1] if clusters else None))
    return tuple(clusters)


def named(clusters: Clusters, labels: Sequence[Labels]) -> Clusters:
    """Give clusters unique names: the strongest class, if needed followed by the second class and a number.

    Parameters
    ----------
    clusters : Clusters
    labels : sequence of Labels
        Labels of these clusters by several sources; the first source with a label names a cluster.

    Returns
    -------
    Clusters
        With names such as "coins", "page · text", "page · brick 1", "page · brick 2", or "unnamed 1" without a reliable label.
        Without `labels`, the clusters as they are.
    """
    if not labels:
        return clusters
    claimed = np.any([each.claimed for each in labels], axis=0)
    short: list[str] = []
    long: list[str] = []
    for index in range(len(claimed)):
        source = next((each for each in labels if each.claimed[index]), None)
        ranked = [UNNAMED] if source is None else [source.names[place] for place in source.classes[index].tolist()]
        short.append(ranked[0])
        long.append(" · ".join(ranked[:2]))
    counts = Counter(short)
    names = _numbered([one if counts[one] == 1 else two for one, two in zip(short, long, strict=True)])
    return replace(clusters, names=names, claimed=claimed)


def _numbered(names: list[str]) -> tuple[str, ...]:
    total, taken, last = Counter(names), set(names), Counter[str]()
    found: list[str] = []
    for name in names:
        numbered = name
        while total[name] > 1 and numbered in taken:
            last[name] += 1
            numbered = f"{name} {last[name]}"
        taken.add(numbered)
        found.append(numbered)
    return tuple(found)


def _edges(graph: Neighbours, count: int) -> NDArray[np.int64]:
    indices = graph.indices[:, :count].astype(np.int64)
    return np.stack([np.repeat(np.arange(len(indices)), indices.shape[1]), indices.ravel()])


def _climb(rank: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of the peak reached from each point along densest neighbours, in the symmetrised graph."""
    best = rank.copy()
    np.maximum.at(best, edges[0], rank[edges[1]])
    np.maximum.at(best, edges[1], rank[edges[0]])
    up = np.empty_like(rank)
    up[rank] = best
    # Pointer jumping: each round doubles the length of the paths.
    while not np.array_equal(up, further := up[up]):
        up = further
    return up[rank]


def _passes(height: Floats, owner: NDArray[Any], edges: NDArray[np.int64], many: int) -> list[tuple[float, int, int]]:
    """The highest pass between each pair of adjacent regions, highest first: its height and the pair."""
    one, other = owner[edges[0]], owner[edges[1]]
    across = one != other
    level = np.minimum(height[edges[0][across]], height[edges[1][across]])
    one, other = one[across], other[across]
    pairs, place = np.unique(np.minimum(one, other) * many + np.maximum(one, other), return_inverse=True)
    highest = np.full(len(pairs), -np.inf)
    np.maximum.at(highest, place, level)
    order = np.argsort(-highest, kind="stable")
    first, second = np.divmod(pairs[order], many)
    return list(zip(highest[order].tolist(), first.tolist(), second.tolist(), strict=True))


def _prominent(tops: Floats, passes: list[tuple[float, int, int]], least: float) -> NDArray[np.int64]:
    """The prominent peak of each basin: from the highest pass down, the lower of two peaks is merged unless it is prominent."""
    root = list(range(len(tops)))
    for level, one, other in passes:
        low, high = sorted((_root(root, one), _root(root, other)), key=lambda each: tops[each])
        if low != high and tops[low] - level < least:
            root[low] = high
    return np.array([_root(root, each) for each in range(len(tops))], np.int64)


def _grown(sizes: NDArray[Any], passes: list[tuple[float, int, int]], least: float) -> NDArray[np.int64]:
    """The merged cluster of each small one: the smallest is merged over its highest pass until all are large enough."""
    root, size = list(range(len(sizes))), sizes.tolist()
    touching: list[dict[int, float]] = [{} for _ in root]
    for level, one, other in passes:
        touching[one][other] = touching[other][one] = level
    queue = [(many, each) for each, many in enumerate(size) if many < least]
    heapq.heapify(queue)
    while queue:
        many, each = heapq.heappop(queue)
        if root[each] != each or size[each] != many or not touching[each]:
            continue
        into = max(touching[each], key=lambda other: (touching[each][other], other))
        for other, level in touching[each].items():
            del touching[other][each]
            if other != into:
                level = max(level, touching[into].get(other, -np.inf))
                touching[into][other] = touching[other][into] = level
        root[each], touching[each] = into, {}
        size[into] += many
        if size[into] < least:
            heapq.heappush(queue, (size[into], into))
    return np.array([_root(root, each) for each in range(len(root))], np.int64)


def _root(root: list[int], each: int) -> int:
    while root[each] != each:
        root[each] = root[root[each]]
        each = root[each]
    return each


def _least(level: Level, count: int, settings: ClusterSettings) -> float:
    return max(settings.cells * len(level.members) / len(level.counts), count)


def _clusters(
    labels: NDArray[np.int64], rank: NDArray[np.int64], grid: Grid, density: NDArray[np.float32], above: Clusters | None
) -> Clusters:
    """Clusters numbered by size, largest first, and ties by the density of their peaks."""
    labels = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(labels)
    # Points inside the frame take precedence as peaks.
    order = np.argsort(np.where(grid.outliers, rank - len(rank), rank))
    peaks = np.empty(len(counts), np.int64)
    peaks[labels[order]] = order  # the last assignment wins: the densest point
    sorting = np.lexsort((-rank[peaks], -counts))
    number = np.empty(len(counts), np.int64)
    number[sorting] = np.arange(len(counts))
    peaks, counts = peaks[sorting], counts[sorting].astype(np.int64)
    parents = np.full(len(counts), -1) if above is None else above.cluster_of[peaks]
    return Clusters(
        tuple(f"cluster {each + 1}" for each in range(len(counts))),
        number[labels].astype(np.int32),
        counts,
        parents.astype(np.int32),
        peaks,
        grid.points[peaks],
        np.zeros(len(counts), np.bool_),
        density,
    )
