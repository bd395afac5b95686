"""Step 3 of an atlas: find the nearest neighbours of every point, one graph that layout, measures and clustering share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import short_seed
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.kit.checks import choice, integer, seed_of
from phosphene.kit.records import from_arrays
from phosphene.kit.threads import threads_kept

__all__ = ["METRICS", "GraphSettings", "Neighbours", "Search", "nearest_among", "neighbour_graph", "scaled"]

METRICS = ("cosine", "euclidean")

Search = Callable[[NDArray[np.floating]], tuple[NDArray[np.int32], NDArray[np.float32]]]
"""Maps queries to the indices of their nearest rows and the distances to them."""


@dataclass(frozen=True)
class GraphSettings:
    """Settings of the search for nearest neighbours.

    Attributes
    ----------
    count : int, default 50
        Neighbours per point; fewer if there are not enough points.
    metric : "cosine" or "euclidean", default "cosine"
        Cosine distance is ``1 - cos``. A zero vector has no direction: its distance is 0 to other zero vectors, 0.5 to the rest.
    exact_up_to : int, default 50_000
        Above this number of points the search is approximate (nearest-neighbour descent by pynndescent; Dong, Charikar and Li
        2011).
    seed : int, default 0
        Random seed of the approximate search.
    """

    count: int = 50
    metric: str = "cosine"
    exact_up_to: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        integer("count", self.count, minimum=1)
        integer("exact_up_to", self.exact_up_to, minimum=0)
        seed_of(self.seed)
        choice("metric", self.metric, METRICS)


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each point, nearest first, without the point itself.

    Attributes
    ----------
    indices : (N, k) int32
    distances : (N, k) float32
        Ascending along each row.
    metric : str
    exact : bool
        Whether the search was exact.
    """

    indices: Annotated[NDArray[np.int32], "N k"]
    distances: Annotated[NDArray[np.float32], "N k"]
    metric: str
    exact: bool

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Neighbours:
        """The neighbours from the arrays of the step; ValueError for others."""
        made = from_arrays(Neighbours, arrays)
        if made.indices.size and not 0 <= made.indices.min() <= made.indices.max() < len(made.indices):
            raise ValueError("its neighbours are not among its points")
        return made

    @property
    def count(self) -> int:
        """Number of neighbours per point."""
        return int(self.indices.shape[1])

    def with_self(self, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest `count` points including the point itself, as UMAP and t-SNE expect."""
        own = np.arange(len(self.indices), dtype=np.int32)[:, None]
        indices = np.concatenate([own, self.indices], axis=1)[:, :count]
        distances = np.concatenate([np.zeros((len(own), 1), np.float32), self.distances], axis=1)[:, :count]
        return np.ascontiguousarray(indices), np.ascontiguousarray(distances)


def neighbour_graph(vectors: NDArray[np.floating], settings: GraphSettings | None = None) -> Neighbours:
    """Find the nearest neighbours of every vector among the others.

    Parameters
    ----------
    vectors : (N, C)
    settings : GraphSettings, optional

    Returns
    -------
    Neighbours
        Exact up to `exact_up_to` points. Deterministic.

    Raises
    ------
    InvalidParameter
        For fewer than three vectors, and for vectors with infinity or NaN.
    MissingDependency
        When scikit-learn (above `exact_up_to` points: pynndescent) is not installed.
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
    """Build an index of `reference` that finds its rows nearest to a query; see `neighbour_graph`.

    Parameters
    ----------
    reference : (N, C)
        The rows to search. The index is built once for all queries.
    count : int
        Neighbours per query.
    settings : GraphSettings, optional
        Its metric, `exact_up_to` and seed are used.

    Returns
    -------
    callable
        Maps queries ``(M, C)`` to indices into `reference` and distances, both ``(M, count)``.
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
    """Vectors whose Euclidean distances sort neighbours as `metric` does: scaled to unit length for "cosine".

    Raises
    ------
    InvalidParameter
        For fewer than three vectors, other shapes, and values that are infinite or NaN.
    """
    points = np.ascontiguousarray(vectors, np.float32)
    if points.ndim != 2 or len(points) < 3:
        raise InvalidParameter(
            "vectors",
            allowed="an array (N, C) of at least 3 vectors",
            received=said(f"shape {points.shape}"),
            fix="Collect more points.",
        )
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(axis=1)).sum())
        raise InvalidParameter(
            "vectors",
            allowed="finite numbers",
            received=said(f"{bad} of {len(points)} rows with infinity or NaN"),
            fix="Remove these rows: vectors[np.isfinite(vectors).all(axis=1)].",
        )
    if metric == "euclidean":
        return points
    length = np.linalg.norm(points.astype(np.float64), axis=1, keepdims=True)
    found: NDArray[np.float32] = (points / np.where(length > 0, length, 1.0)).astype(np.float32)
    return found


def _own_distance(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Distances in the metric: for unit vectors the squared Euclidean distance is twice ``1 - cos``."""
    return distances if metric == "euclidean" else (distances * distances / 2).astype(np.float32)


def _without_self(
    indices: NDArray[np.int32], distances: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Drop each point from its own row; if duplicates have displaced it, drop the last neighbour."""
    keep = indices != np.arange(len(indices))[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = (len(indices), indices.shape[1] - 1)
    return indices[keep].reshape(shape), distances[keep].reshape(shape)


def _brute(points: NDArray[np.float32], count: int) -> Any:
    """Exact search in blocks, so that memory does not grow with the square of the number of points."""
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    return NearestNeighbors(n_neighbors=count, algorithm="brute", metric="euclidean").fit(points)


def _descent(points: NDArray[np.float32], count: int, seed: int) -> Any:
    """An index for approximate search, built on one thread: with several, the result depends on their timing."""
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise MissingDependency("pynndescent", "umap") from error
    return NNDescent(points, metric="euclidean", n_neighbors=count, random_state=short_seed(seed), n_jobs=1)
