"""How far a map can be trusted: what it tore apart, what it pushed together, and what would be there again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.gridding import sums_of
from phosphene.atlas.neighbours import Neighbours, scaled
from phosphene.atlas.procrustes import disparity
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.types import Floats

__all__ = [
    "MeasureSettings", "Measures", "by_cell", "measure", "seed_disparity", "split_half",
]  # fmt: skip

BLOCK = 32
"""Points whose distances to all others are held at once."""


@dataclass(frozen=True)
class MeasureSettings:
    """How a layout is judged.

    Attributes
    ----------
    neighbours : int, default 15
        How many neighbours of a point count; at most as many as the graph has.
    sample : int, default 2000
        Points for which distances to all others are taken.
    seed : int, default 0
        Of the sample.
    """

    neighbours: int = 15
    sample: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        integer("neighbours", self.neighbours, minimum=1)
        integer("sample", self.sample, minimum=1)
        integer("seed", self.seed)


@dataclass(frozen=True)
class Measures:
    """What a layout kept of its data.

    Attributes
    ----------
    neighbours : int
        How many neighbours counted.
    trustworthiness : float
        1 where all neighbours on the map are neighbours in truth (Venna and Kaski 2001); about 0.5 for a map by chance.
    continuity : float
        1 where all true neighbours are neighbours on the map; about 0.5 for a map by chance.
    recall : float
        Part of the true neighbours that are neighbours on the map; strict, and well below 1 for any map of many points.
    sample : (s,) int64
        The points on which the first two rest; the mean over them is the estimate for all.
    point_trustworthiness, point_continuity : (s,) float64
        The first two, point by point.
    point_recall : (N,) float32
        The third, point by point, of all points.
    point_stretch : (N,) float32
        Logarithm to base 2 of how much wider the map drew the surroundings of a point than it did those of the median point:
        1 is twice as wide, -1 half. Sizes and gaps on the map are off by that much.
    """

    neighbours: int
    trustworthiness: float
    continuity: float
    recall: float
    sample: NDArray[np.int64]
    point_trustworthiness: Floats
    point_continuity: Floats
    point_recall: NDArray[np.float32]
    point_stretch: NDArray[np.float32]


def measure(
    vectors: NDArray[np.floating],
    points: NDArray[np.floating],
    graph: Neighbours,
    settings: MeasureSettings | None = None,
) -> Measures:
    """Trustworthiness, continuity (Venna and Kaski 2001) and recall of the neighbours of a layout.

    Parameters
    ----------
    vectors : (N, C)
    points : (N, 2)
        Their layout.
    graph : Neighbours
        Of the vectors, in the metric that counts. It is what continuity and recall take for the true neighbours, so where it is
        approximate they are too. Trustworthiness takes distances of its own.
    settings : MeasureSettings, optional

    Returns
    -------
    Measures

    Raises
    ------
    InvalidParameter
        For a graph or a layout of other points, and for fewer than ``2 neighbours + 1`` points.
    MissingDependency
        When scikit-learn is not installed.
    """
    settings = settings or MeasureSettings()
    rows, flat = scaled(vectors, graph.metric), np.asarray(points, np.float64)
    many, k = len(rows), min(settings.neighbours, graph.count)
    for name, given in (("points", flat), ("graph", graph.indices)):
        if len(given) != many:
            raise InvalidParameter(
                name, allowed=f"one of the {many} vectors", received=said(f"one of {len(given)}"), fix=""
            )
    if many < 2 * k + 1:
        raise InvalidParameter(
            "neighbours", allowed=f"at most {(many - 1) // 2}, fewer than half of the {many} points", received=k,
            fix="Collect more points, or count fewer neighbours.",
        )  # fmt: skip
    near = _near(flat, k)
    truth = graph.indices[:, :k]
    sample = np.sort(generator(settings.seed, "atlas measures", str(many)).permutation(many)[: settings.sample])
    # The sum of ranks beyond k, brought to [0, 1]: 2 / (k (2 N - 3 k - 1)) of the paper's equation, for one point.
    scale = 2.0 / (k * (2.0 * many - 3.0 * k - 1.0))
    trust, continuity = np.empty(len(sample)), np.empty(len(sample))
    squares, flat_squares = (rows.astype(np.float64) ** 2).sum(axis=1), (flat**2).sum(axis=1)
    wide = rows.astype(np.float64)
    for begin in range(0, len(sample), BLOCK):
        part = sample[begin : begin + BLOCK]
        where = slice(begin, begin + len(part))
        trust[where] = 1 - scale * _beyond(wide, squares, part, near[part], k)
        continuity[where] = 1 - scale * _beyond(flat, flat_squares, part, truth[part], k)
    recall = _shared(truth, near)
    return Measures(
        k, float(trust.mean()), float(continuity.mean()), float(recall.mean()), sample, trust, continuity, recall,
        _stretch(flat, truth, graph.distances[:, :k]),
    )  # fmt: skip


def by_cell(level: Level, values: NDArray[np.floating]) -> Floats:
    """Means of a value a point ``(N,)`` over the members of each cell ``(M,)``; NaN are left out, and a cell of them is NaN."""
    found = np.asarray(values, np.float64)[level.members]
    owner = np.repeat(np.arange(len(level.counts)), level.counts)
    good = np.isfinite(found)
    count = np.bincount(owner[good], minlength=len(level.counts))
    total = np.bincount(owner[good], found[good], minlength=len(level.counts))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def split_half(
    vectors: NDArray[np.floating], level: Level, *, minimum: int = 10, repeats: int = 4, seed: int = 0
) -> Floats:
    """How alike the means of two random halves of each cell are: their cosine, averaged over `repeats` ways to halve it.

    Parameters
    ----------
    vectors : (N, C)
    level : Level
    minimum : int, default 10
        Members from which on a cell is judged.
    repeats : int, default 4
    seed : int, default 0

    Returns
    -------
    numpy.ndarray (M,)
        NaN for cells with fewer members.
    """
    integer("minimum", minimum, minimum=2)
    integer("repeats", repeats, minimum=1)
    chosen = np.flatnonzero(level.counts >= minimum)
    found = np.full(len(level.counts), np.nan)
    if not len(chosen):
        return found
    owner = np.repeat(np.arange(len(level.counts)), level.counts)
    judged = np.isin(owner, chosen)
    members, owner = level.members[judged], owner[judged]
    cuts = np.concatenate([[0], np.cumsum(level.counts[chosen])])
    halves = np.sort(np.concatenate([cuts, cuts[:-1] + level.counts[chosen] // 2]))
    total = np.zeros(len(chosen))
    for repeat in range(repeats):
        # Cells stay where they are; their members are shuffled inside them.
        random = generator(seed, "atlas halves", str(level.size), str(repeat))
        shuffled = members[np.lexsort((random.random(len(members)), owner))]
        sums = sums_of(vectors, shuffled, halves)[0]
        one, other = sums[0::2], sums[1::2]
        length = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        total += np.einsum("mc,mc->m", one, other) / np.where(length > 0, length, 1.0)
    found[chosen] = total / repeats
    return found


def seed_disparity(layouts: Sequence[NDArray[np.floating]]) -> float:
    """Mean Procrustes disparity of each two layouts of the same points, such as those of several seeds.

    Parameters
    ----------
    layouts : sequence of (N, 2)
        At least two.

    Returns
    -------
    float
        0 where they are one map, moved, turned, mirrored or scaled; near 1 where they have nothing in common.
    """
    if len(layouts) < 2:
        raise InvalidParameter(
            "layouts", allowed="at least 2", received=said(f"{len(layouts)}"), fix="Lay out again with another seed."
        )
    return float(np.mean([disparity(one, other) for one, other in combinations(layouts, 2)]))


def _near(flat: Floats, k: int) -> NDArray[np.int32]:
    """The k nearest of each point on the map, without itself."""
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    found = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(flat)
    # Without an argument a point is not its own neighbour.
    indices: NDArray[np.int32] = found.kneighbors(return_distance=False).astype(np.int32)
    return indices


def _beyond(rows: Floats, squares: Floats, part: NDArray[np.int64], near: NDArray[np.integer], k: int) -> Floats:
    """For each point of `part`, by how much the ranks of `near` ``(n, k)`` go beyond k, in sum; equal distances share the best."""
    distance = squares[part][:, None] + squares[None] - 2.0 * rows[part] @ rows.T
    distance[np.arange(len(part)), part] = np.inf
    limits = np.take_along_axis(distance, near.astype(np.int64), axis=1)
    beyond = np.zeros(len(part))
    for column in range(near.shape[1]):
        rank = 1 + (distance < limits[:, column, None]).sum(axis=1)
        beyond += np.maximum(rank - k, 0)
    return beyond


def _shared(truth: NDArray[np.integer], near: NDArray[np.integer]) -> NDArray[np.float32]:
    """Part of the true neighbours that are near, for each point."""
    found = np.empty(len(truth), np.float32)
    for begin in range(0, len(truth), 10_000):
        one, other = truth[begin : begin + 10_000], near[begin : begin + 10_000]
        found[begin : begin + len(one)] = (one[:, :, None] == other[:, None]).any(axis=2).mean(axis=1)
    return found


def _stretch(flat: Floats, truth: NDArray[np.integer], distances: NDArray[np.floating]) -> NDArray[np.float32]:
    """Width of a point's surroundings on the map over that in truth, relative to the median; NaN where either is nothing."""
    drawn = np.empty(len(flat))
    for begin in range(0, len(flat), 10_000):
        part = slice(begin, begin + 10_000)
        drawn[part] = np.linalg.norm(flat[truth[part]] - flat[part, None], axis=2).mean(axis=1)
    real = distances.astype(np.float64).mean(axis=1)
    good = (drawn > 0) & (real > 0)
    ratio = np.full(len(flat), np.nan)
    ratio[good] = np.log2(drawn[good] / real[good])
    return (ratio - (np.median(ratio[good]) if good.any() else 0.0)).astype(np.float32)
