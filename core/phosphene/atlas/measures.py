"""Step 6 of an atlas: measure how far the layout preserves neighbourhoods, and how stable the means of cells are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.grids import sums_of
from phosphene.atlas.neighbours import Neighbours, scaled
from phosphene.atlas.procrustes import disparity
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.kit.checks import integer, seed_of
from phosphene.kit.records import from_arrays
from phosphene.types import Floats

__all__ = [
    "MeasureSettings",
    "Measures",
    "by_cell",
    "measure",
    "seed_disparity",
    "split_half",
]

BLOCK = 32
"""Number of points whose distances to all others are held at once."""


@dataclass(frozen=True)
class MeasureSettings:
    """Settings of the measures.

    Attributes
    ----------
    neighbours : int, default 15
        Size of a point's neighbourhood; at most as many as the graph has.
    sample : int, default 2000
        Number of points for which trustworthiness and continuity are computed.
    seed : int, default 0
        Random seed of the sample.
    """

    neighbours: int = 15
    sample: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        integer("neighbours", self.neighbours, minimum=1)
        integer("sample", self.sample, minimum=1)
        seed_of(self.seed)


@dataclass(frozen=True)
class Measures:
    """Measures of a layout.

    Attributes
    ----------
    neighbours : int
        Size of the neighbourhoods.
    trustworthiness : float
        1 if all neighbours on the map are true neighbours (Venna and Kaski 2001); about 0.5 for a random map.
    continuity : float
        1 if all true neighbours are neighbours on the map; about 0.5 for a random map.
    recall : float
        Share of the true neighbours that are neighbours on the map; well below 1 for any map of many points.
    sample : (s,) int64
        Points from which trustworthiness and continuity are estimated.
    point_trustworthiness, point_continuity : (s,) float64
        Trustworthiness and continuity of each of these points.
    point_recall : (N,) float32
        Recall of each point.
    point_stretch : (N,) float32
        Logarithm to base 2 of the factor by which the map widens the neighbourhood of a point, relative to the median point: 1
        is twice as wide, -1 half as wide.
    """

    neighbours: int
    trustworthiness: float
    continuity: float
    recall: float
    sample: Annotated[NDArray[np.int64], "s"]
    point_trustworthiness: Annotated[Floats, "s"]
    point_continuity: Annotated[Floats, "s"]
    point_recall: Annotated[NDArray[np.float32], "N"]
    point_stretch: Annotated[NDArray[np.float32], "N"]

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Measures:
        """The measures from the arrays of the step; ValueError for others."""
        return from_arrays(Measures, arrays)


def measure(
    vectors: NDArray[np.floating],
    points: NDArray[np.floating],
    graph: Neighbours,
    settings: MeasureSettings | None = None,
) -> Measures:
    """Compute trustworthiness, continuity (Venna and Kaski 2001), neighbour recall and stretch of a layout.

    Parameters
    ----------
    vectors : (N, C)
    points : (N, 2)
        Layout of the vectors.
    graph : Neighbours
        True neighbours of the vectors, for continuity, recall and stretch; if it is approximate, so are they. Trustworthiness
        uses exact distances.
    settings : MeasureSettings, optional

    Returns
    -------
    Measures

    Raises
    ------
    InvalidParameter
        For a graph or a layout with a different number of points, and for fewer than ``2 * neighbours + 1`` points.
    MissingDependency
        When scikit-learn is not installed.
    """
    settings = settings or MeasureSettings()
    rows, flat = scaled(vectors, graph.metric), np.asarray(points, np.float64)
    many, k = len(rows), min(settings.neighbours, graph.count)
    for name, what, given in (("points", "a layout", flat), ("graph", "a graph", graph.indices)):
        if len(given) != many:
            raise InvalidParameter(
                name,
                allowed=f"{what} of the {many} vectors",
                received=said(f"one of {len(given)} points"),
                fix="Compute it from the same points, in the same order.",
            )
    if many < 2 * k + 1:
        raise InvalidParameter(
            "neighbours",
            allowed=f"at most {(many - 1) // 2}, fewer than half of the {many} points",
            received=k,
            fix="Collect more points, or lower neighbours.",
        )
    near = _near(flat, k)
    truth = graph.indices[:, :k]
    sample = np.sort(generator(settings.seed, "atlas measures", str(many)).permutation(many)[: settings.sample])
    # Normalisation of the paper's equation for one point, 2 / (k (2 N - 3 k - 1)).
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
        k,
        float(trust.mean()),
        float(continuity.mean()),
        float(recall.mean()),
        sample,
        trust,
        continuity,
        recall,
        _stretch(flat, truth, graph.distances[:, :k]),
    )


def by_cell(level: Level, values: NDArray[np.floating]) -> Floats:
    """Means of the values of points ``(N,)`` over the members of each cell ``(M,)``, ignoring NaN; NaN if all are."""
    found = np.asarray(values, np.float64)[level.members]
    owner = np.repeat(np.arange(len(level.counts)), level.counts)
    good = np.isfinite(found)
    count = np.bincount(owner[good], minlength=len(level.counts))
    total = np.bincount(owner[good], found[good], minlength=len(level.counts))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def split_half(
    vectors: NDArray[np.floating], level: Level, *, minimum: int = 10, repeats: int = 4, seed: int = 0
) -> Floats:
    """Split-half stability of cells: the cosine between the means of two random halves, averaged over `repeats` splits.

    Parameters
    ----------
    vectors : (N, C)
    level : Level
    minimum : int, default 10
        Minimum number of members.
    repeats : int, default 4
        Number of random splits.
    seed : int, default 0
        Random seed of the splits.

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
        # Shuffle the members within each cell.
        random = generator(seed, "atlas halves", str(level.size), str(repeat))
        shuffled = members[np.lexsort((random.random(len(members)), owner))]
        sums = sums_of(vectors, shuffled, halves)[0]
        one, other = sums[0::2], sums[1::2]
        length = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        total += np.einsum("mc,mc->m", one, other) / np.where(length > 0, length, 1.0)
    found[chosen] = total / repeats
    return found


def seed_disparity(layouts: Sequence[NDArray[np.floating]]) -> float:
    """Mean Procrustes disparity over all pairs of layouts of the same points, for example of several seeds.

    Parameters
    ----------
    layouts : sequence of (N, 2)
        At least two.

    Returns
    -------
    float
        0 if they are equal up to translation, rotation, reflection and scaling; near 1 if they have nothing in common.
    """
    if len(layouts) < 2:
        raise InvalidParameter(
            "layouts",
            allowed="at least 2 layouts",
            received=said(f"{len(layouts)}"),
            fix="Lay the points out again with another seed.",
        )
    return float(np.mean([disparity(one, other) for one, other in combinations(layouts, 2)]))


def _near(flat: Floats, k: int) -> NDArray[np.int32]:
    """The k nearest neighbours of each point on the map, without the point itself."""
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    found = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(flat)
    # Called without queries, scikit-learn excludes the point itself.
    indices: NDArray[np.int32] = found.kneighbors(return_distance=False).astype(np.int32)
    return indices


def _beyond(rows: Floats, squares: Floats, part: NDArray[np.int64], near: NDArray[np.integer], k: int) -> Floats:
    """Sum of the ranks of `near` ``(n, k)`` in excess of k, for each point of `part`; ties share the best rank."""
    distance = squares[part][:, None] + squares[None] - 2.0 * rows[part] @ rows.T
    distance[np.arange(len(part)), part] = np.inf
    limits = np.take_along_axis(distance, near.astype(np.int64), axis=1)
    beyond = np.zeros(len(part))
    for column in range(near.shape[1]):
        rank = 1 + (distance < limits[:, column, None]).sum(axis=1)
        beyond += np.maximum(rank - k, 0)
    return beyond


def _shared(truth: NDArray[np.integer], near: NDArray[np.integer]) -> NDArray[np.float32]:
    """Share of the true neighbours of each point that are neighbours on the map."""
    found = np.empty(len(truth), np.float32)
    for begin in range(0, len(truth), 10_000):
        one, other = truth[begin : begin + 10_000], near[begin : begin + 10_000]
        found[begin : begin + len(one)] = (one[:, :, None] == other[:, None]).any(axis=2).mean(axis=1)
    return found


def _stretch(flat: Floats, truth: NDArray[np.integer], distances: NDArray[np.floating]) -> NDArray[np.float32]:
    """Log2 of the width of a point's neighbourhood on the map over its true width, relative to the median; NaN if either is 0."""
    drawn = np.empty(len(flat))
    for begin in range(0, len(flat), 10_000):
        part = slice(begin, begin + 10_000)
        drawn[part] = np.linalg.norm(flat[truth[part]] - flat[part, None], axis=2).mean(axis=1)
    real = distances.astype(np.float64).mean(axis=1)
    good = (drawn > 0) & (real > 0)
    ratio = np.full(len(flat), np.nan)
    ratio[good] = np.log2(drawn[good] / real[good])
    return (ratio - (np.median(ratio[good]) if good.any() else 0.0)).astype(np.float32)
