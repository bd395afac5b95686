"""The nearest neighbours of every point: one graph that the layout and all measures of it share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import integer
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.threads import threads_kept

__all__ = ["METRICS", "GraphSettings", "Neighbours", "Search", "nearest_among", "neighbour_graph", "scaled"]

METRICS = ("cosine", "euclidean")

Search = Callable[[NDArray[np.floating]], tuple[NDArray[np.int32], NDArray[np.float32]]]
"""From queries to their nearest rows and the distances of these."""


@dataclass(frozen=True)
class GraphSettings:
    """How neighbours are looked for.

    Attributes
    ----------
    count : int, default 50
        Neighbours a point; fewer where there are not so many points.
    metric : "cosine" or "euclidean", default "cosine"
        Cosine distance is ``1 - cos``. A vector of zeros has no direction: it is at 0 from others like it, at 0.5 from the rest.
    exact_up_to : int, default 50_000
        Past so many points neighbours are found approximately (Dong, Charikar and Li 2011, by pynndescent).
    seed : int, default 0
        Of the approximate search.
    """

    count: int = 50
    metric: str = "cosine"
    exact_up_to: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        integer("count", self.count, minimum=1)
        integer("exact_up_to", self.exact_up_to, minimum=0)
        integer("seed", self.seed)
        if self.metric not in METRICS:
            raise InvalidParameter(
                "metric", allowed="'cosine' or 'euclidean'", received=self.metric, fix="Cosine compares directions."
            )


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of each point, nearest first, without the point itself.

    Attributes
    ----------
    indices : (N, k) int32
    distances : (N, k) float32
        Not descending along a row.
    metric : str
    exact : bool
        Whether they are surely the nearest.
    """

    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    metric: str
    exact: bool

    @property
    def count(self) -> int:
        """Neighbours a point."""
        return int(self.indices.shape[1])

    def with_self(self, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest `count` with the point itself as the first of them, as UMAP and t-SNE count."""
        own = np.arange(len(self.indices), dtype=np.int32)[:, None]
        indices = np.concatenate([own, self.indices], axis=1)[:, :count]
        distances = np.concatenate([np.zeros((len(own), 1), np.float32), self.distances], axis=1)[:, :count]
        return np.ascontiguousarray(indices), np.ascontiguousarray(distances)


def neighbour_graph(vectors: NDArray[np.floating], settings: GraphSettings | None = None) -> Neighbours:
    """The nearest neighbours of every vector among the others.

    Parameters
    ----------
    vectors : (N, C)
    settings : GraphSettings, optional

    Returns
    -------
    Neighbours
        Exact up to `exact_up_to` points. The same call gives the same graph.

    Raises
    ------
    InvalidParameter
        For fewer than three vectors, and for NaN among them.
    MissingDependency
        When scikit-learn (pynndescent, past `exact_up_to`) is not installed.
    """
    settings = settings or GraphSettings()
    points = scaled(vectors, settings.metric)
    count = min(settings.count, len(points) - 1)
    exact = len(points) <= settings.exact_up_to
    if exact:
        distances, indices = _brute(points, count + 1).kneighbors(points)
    else:
        with threads_kept():
            indices, distances = _descent(points, count + 1, settings.seed).neighbor_graph
    indices, distances = _without_self(indices.astype(np.int32), np.asarray(distances, np.float32))
    return Neighbours(indices, _own_distance(distances, settings.metric), settings.metric, exact)


def nearest_among(reference: NDArray[np.floating], count: int, settings: GraphSettings | None = None) -> Search:
    """What finds the rows of `reference` that are nearest to each query; see `neighbour_graph`.

    Parameters
    ----------
    reference : (N, C)
        An index of them is made now, once for all queries.
    count : int
        Neighbours a query.
    settings : GraphSettings, optional
        Its metric, its seed and up to how many points the search is exact.

    Returns
    -------
    callable
        Of queries ``(M, C)``: their rows in `reference` and their distances, both ``(M, count)``.
    """
    settings = settings or GraphSettings()
    known = scaled(reference, settings.metric)
    count = min(count, len(known))
    exact = len(known) <= settings.exact_up_to
    with threads_kept():
        index = _brute(known, count) if exact else _descent(known, max(count, 30), settings.seed)

    def search(queries: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        asked = scaled(queries, settings.metric)
        if exact:
            distances, indices = index.kneighbors(asked)
        else:
            with threads_kept():
                indices, distances = index.query(asked, k=count, epsilon=0.3)
        return indices.astype(np.int32), _own_distance(np.asarray(distances, np.float32), settings.metric)

    return search


def scaled(vectors: NDArray[np.floating], metric: str) -> NDArray[np.float32]:
    """Vectors whose Euclidean distances put neighbours in the order of `metric`; of length one for "cosine".

    Raises
    ------
    InvalidParameter
        For fewer than three vectors, other shapes, and values that are infinite or NaN.
    """
    points = np.ascontiguousarray(vectors, np.float32)
    if points.ndim != 2 or len(points) < 3:
        raise InvalidParameter(
            "vectors", allowed="at least 3 of them, (N, C)", received=said(f"shape {points.shape}"), fix="Collect more points."
        )  # fmt: skip
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(axis=1)).sum())
        raise InvalidParameter(
            "vectors", allowed="finite numbers", received=said(f"{bad} of {len(points)} rows with infinity or NaN"),
            fix="Leave them out: vectors[np.isfinite(vectors).all(axis=1)].",
        )  # fmt: skip
    if metric == "euclidean":
        return points
    length = np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    found: NDArray[np.float32] = (points / np.where(length > 0, length, 1.0)).astype(np.float32)
    return found


def _own_distance(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Of vectors of length one the squared distance is twice ``1 - cos``."""
    return distances if metric == "euclidean" else (distances * distances / 2).astype(np.float32)


def _without_self(
    indices: NDArray[np.int32], distances: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows without their own number; without the last, where equal points have crowded it out."""
    keep = indices != np.arange(len(indices))[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = (len(indices), indices.shape[1] - 1)
    return indices[keep].reshape(shape), distances[keep].reshape(shape)


def _brute(points: NDArray[np.float32], count: int) -> Any:
    """Exact search by blocks: memory does not grow with the square of the number of points."""
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    return NearestNeighbors(n_neighbors=count, algorithm="brute", metric="euclidean").fit(points)


def _descent(points: NDArray[np.float32], count: int, seed: int) -> Any:
    """An index for approximate search; one thread, since the order in which several finish would show in the result."""
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise MissingDependency("pynndescent", "umap") from error
    return NNDescent(points, metric="euclidean", n_neighbors=count, random_state=seed, n_jobs=1)
