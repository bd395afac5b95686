"""The seventh step of an atlas: regions with a name, few on a coarse level and more on a fine one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.labelling import Labels
from phosphene.atlas.neighbours import Neighbours
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["ClusterSettings", "Clusters", "cluster", "log_density", "named"]

UNNAMED = "unnamed"


@dataclass(frozen=True)
class ClusterSettings:
    """How points are clustered.

    Attributes
    ----------
    neighbours : int, default 10
        Neighbours of a point that count; at most as many as the graph has. The density rests on them, so no cluster that touches
        another has fewer points.
    prominence : float, default 3.0
        By how many standard errors the density of a peak must exceed that of the pass to a higher one. At 3 blobs without any
        structure stayed whole but for 1 of 24, at 2 there were up to 15 clusters in one.
    cells : float, default 1.0
        A cluster that touches another has at least as many points as so many cells of its level have on average, over those that
        are not empty. So of these a level has at most as many as cells, and the next may have up to four times as many.
    """

    neighbours: int = 10
    prominence: float = 3.0
    cells: float = 1.0

    def __post_init__(self) -> None:
        integer("neighbours", self.neighbours, minimum=2)
        for name in ("prominence", "cells"):
            if not getattr(self, name) >= 0:
                raise InvalidParameter(
                    name, allowed="a number of at least 0", received=getattr(self, name), fix="1 to 3 is usual."
                )


@dataclass(frozen=True)
class Clusters:
    """Clusters of one level, largest first; each lies in one cluster of the level above.

    Attributes
    ----------
    names : tuple of str
        All different; see `named`.
    cluster_of : (N,) int32
        Which cluster each point is in. Every point is in one, outliers of the map too.
    counts : (K,) int64
        Points of each.
    parents : (K,) int32
        Which cluster of the next coarser level each lies in; -1 on the coarsest.
    peaks : (K,) int64
        Number of the densest point of each, among those on the map where there are some.
    places : (K, 2) float64
        Where that lies, in the map's frame as the unit square: first coordinate, second coordinate.
    claimed : (K,) bool
        Whether the name rests on a reliable label.
    density : (N,) float32
        Of the points in the space of the activations, the same on all levels: logarithms, from 0 (that of the sparsest hundredth
        or less) to 1 (of the densest hundredth or more).
    """

    names: tuple[str, ...]
    cluster_of: NDArray[np.int32]
    counts: NDArray[np.int64]
    parents: NDArray[np.int32]
    peaks: NDArray[np.int64]
    places: Floats
    claimed: NDArray[np.bool_]
    density: NDArray[np.float32]

    @property
    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the points, cluster after cluster ``(N,)``, and where each begins, and the end ``(K + 1,)``."""
        starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        return np.argsort(self.cluster_of, kind="stable"), starts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, for a file."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(Clusters)}

    @staticmethod
    def of(arrays: Any) -> Clusters:
        """What `arrays` gave."""
        names, *rest = (arrays[each.name] for each in fields(Clusters))
        return Clusters(tuple(names.tolist()), *rest)


def log_density(graph: Neighbours, count: int = 10) -> Floats:
    """Logarithm of the density at each point, from how far its neighbour `count` is (Loftsgaarden and Quesenberry 1965).

    Parameters
    ----------
    graph : Neighbours
    count : int, default 10
        At most as many as the graph has.

    Returns
    -------
    numpy.ndarray (N,)
        Up to a constant. The volume that holds the neighbours grows as their distance to the power of the dimension, which is
        estimated by maximum likelihood (Levina and Bickel 2004, averaged as MacKay and Ghahramani 2005). The standard error of a
        value is then ``1 / sqrt(count)``, in whatever metric distances are.
    """
    count = min(count, graph.count)
    distances = graph.distances[:, :count].astype(np.float64)
    positive = distances[distances > 0]
    if not len(positive):
        return np.zeros(len(distances))
    # Equal points are infinitely dense; half of the least distance that there is bounds it.
    logarithms = np.log(np.maximum(distances, positive.min() / 2))
    spread = float((logarithms[:, -1:] - logarithms[:, :-1]).mean()) if count > 1 else 1.0
    found: Floats = -logarithms[:, -1] / spread if spread > 0 else -logarithms[:, -1]
    return found


def cluster(graph: Neighbours, grid: Grid, settings: ClusterSettings | None = None) -> tuple[Clusters, ...]:
    """Clusters of points at each level of a map, by the peaks of their density (ToMATo: Chazal, Guibas, Oudot and Skraba 2013).

    Parameters
    ----------
    graph : Neighbours
        Of the points. Clusters are of the space in which it was made, not of the map: what the layout pushed together or tore
        apart does not show in them.
    grid : Grid
        Of the same points.
    settings : ClusterSettings, optional

    Returns
    -------
    tuple of Clusters
        One a level, coarse to fine, numbered from the largest on: "cluster 1" and so on. `named` has better names.

    Raises
    ------
    InvalidParameter
        For a graph and a grid of different points.

    Notes
    -----
    Each point climbs to the densest of its neighbours until it is on a peak. Peaks that hardly rise above the pass to a higher
    one are noise, and join it. On each level, from the finest up, the smallest cluster then joins the one to which its pass is
    highest, until all are large enough for that level: so each cluster of a fine level lies in one of the coarse. A cluster
    that touches no other, not even by the last of the graph's neighbours, stays, however small.
    """
    settings = settings or ClusterSettings()
    if len(graph.indices) != len(grid.points):
        raise InvalidParameter(
            "graph", allowed=f"one of the {len(grid.points)} points of the grid",
            received=said(f"one of {len(graph.indices)}"), fix="Take both from one layer.",
        )  # fmt: skip
    count = min(settings.neighbours, graph.count)
    height = log_density(graph, count)
    low, high = np.percentile(height, [1, 99])
    density = np.clip((height - low) / (high - low if high > low else 1.0), 0, 1).astype(np.float32)
    # Ranks, so that no two points are equally high and every path ends. Two that are each other's last neighbour are equally
    # high; the sum over all neighbours tells them apart, whatever their numbers.
    rank = np.empty(len(height), np.int64)
    rank[np.lexsort((-graph.distances[:, :count].sum(axis=1), height))] = np.arange(len(height))
    edges = _edges(graph, count)
    # Numbered by height: what is decided between equals by their numbers does not hang on the order of the points.
    tops, basin = np.unique(_climb(rank, edges), return_inverse=True)
    peaks = np.argsort(rank)[tops]
    passes = _passes(height, basin, edges, len(peaks))
    error = np.sqrt(2.0 / count)  # Of the difference of two.
    labels = _prominent(height[peaks], passes, settings.prominence * error)[basin]
    found: list[NDArray[np.int64]] = []
    for level in reversed(grid.levels):
        # What no near neighbour joins to anything is joined by one of the farther ones.
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
    """Clusters under different names: the strongest class; with the second, where several have that; then with a number.

    Parameters
    ----------
    clusters : Clusters
    labels : sequence of Labels
        Of these clusters, in their order: a name is of the first that claims one.

    Returns
    -------
    Clusters
        Named such as "coins", "page · text", "page · brick 1", "page · brick 2", and "unnamed 1" where none is claimed. Without
        labels the same as before.
    """
    if not labels:
        return clusters
    claimed = np.any([each.claimed for each in labels], axis=0)
    short: list[str] = []
    long: list[str] = []
    for number in range(len(claimed)):
        source = next((each for each in labels if each.claimed[number]), None)
        ranked = [UNNAMED] if source is None else [source.names[place] for place in source.classes[number].tolist()]
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
    """Rank of the peak to which each point leads, over its densest neighbours, those included that have it as theirs."""
    best = rank.copy()
    np.maximum.at(best, edges[0], rank[edges[1]])
    np.maximum.at(best, edges[1], rank[edges[0]])
    up = np.empty_like(rank)
    up[rank] = best
    # From rank to rank; each round doubles the length of the paths.
    while not np.array_equal(up, further := up[up]):
        up = further
    return up[rank]


def _passes(height: Floats, owner: NDArray[Any], edges: NDArray[np.int64], many: int) -> list[tuple[float, int, int]]:
    """The highest pass between each two regions that touch, highest first: its height and the two."""
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
    """To which prominent peak each basin belongs: over the passes from the highest down, the lower of two peaks joins the other."""
    root = list(range(len(tops)))
    for level, one, other in passes:
        low, high = sorted((_root(root, one), _root(root, other)), key=lambda each: tops[each])
        if low != high and tops[low] - level < least:
            root[low] = high
    return np.array([_root(root, each) for each in range(len(tops))], np.int64)


def _grown(sizes: NDArray[Any], passes: list[tuple[float, int, int]], least: float) -> NDArray[np.int64]:
    """To which cluster each of some smaller ones belongs, where the smallest joins over its highest pass until all have enough."""
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
    """Numbered by size, the largest first, and among equals by the densest point."""
    labels = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(labels)
    # Points on the map come before all others.
    order = np.argsort(np.where(grid.outliers, rank - len(rank), rank))
    peaks = np.empty(len(counts), np.int64)
    peaks[labels[order]] = order  # The last to be written is the highest.
    sorting = np.lexsort((-rank[peaks], -counts))
    number = np.empty(len(counts), np.int64)
    number[sorting] = np.arange(len(counts))
    peaks, counts = peaks[sorting], counts[sorting].astype(np.int64)
    parents = np.full(len(counts), -1) if above is None else above.cluster_of[peaks]
    return Clusters(
        tuple(f"cluster {each + 1}" for each in range(len(counts))), number[labels].astype(np.int32), counts,
        parents.astype(np.int32), peaks, grid.points[peaks], np.zeros(len(counts), np.bool_), density,
    )  # fmt: skip
