"""The third step of an atlas: points on a plane, near to each other where their activations are."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.neighbours import GraphSettings, Neighbours, nearest_among, neighbour_graph, scaled
from phosphene.atlas.procrustes import fit_similarity
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.errors import nearest as nearest_name
from phosphene.threads import threads_kept
from phosphene.types import Floats

__all__ = ["METHODS", "Layout", "LayoutSettings", "lay_out", "lay_out_layers", "line_up"]

METHODS = {
    "umap": "McInnes, Healy and Melville 2018",
    "tsne": "van der Maaten and Hinton 2008",
    "pca": "Pearson 1901",
}
PLACED_BY = 15
"""Landmarks by which a point that is none is placed."""

PLACED_AT_ONCE = 10_000
"""Points whose landmarks are searched for in one go."""


@dataclass(frozen=True)
class LayoutSettings:
    """How points are laid out.

    Attributes
    ----------
    method : "umap", "tsne" or "pca", default "umap"
        A seeded UMAP runs on one thread, since several would add up in another order each time.
    min_dist : float, default 0.05
        Of UMAP: how tightly neighbours are packed, in [0, 1).
    epochs : int, optional
        Steps of UMAP or t-SNE; their own choice by the number of points (500 or 200; 1000) when absent.
    landmarks : int, default 100_000
        Past so many points, so many are laid out, drawn at random, and the rest is placed among them: each at the weighted mean
        of its 15 nearest landmarks.
    seed : int, default 0
    """

    method: str = "umap"
    min_dist: float = 0.05
    epochs: int | None = None
    landmarks: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = nearest_name(str(self.method), METHODS)
            raise InvalidParameter(
                "method", allowed="'umap', 'tsne' or 'pca'", received=self.method, fix=f"Did you mean {near}?" if near else ""
            )  # fmt: skip
        if not 0 <= self.min_dist < 1:
            raise InvalidParameter(
                "min_dist", allowed="a number in [0, 1)", received=self.min_dist, fix="0.05 is usual."
            )
        if self.epochs is not None:
            integer("epochs", self.epochs, minimum=1)
            if self.method == "tsne" and self.epochs < 250:
                raise InvalidParameter(
                    "epochs", allowed="at least 250 for t-SNE", received=self.epochs, fix="Its first 250 only pull apart."
                )  # fmt: skip
        integer("landmarks", self.landmarks, minimum=10)
        integer("seed", self.seed)


@dataclass(frozen=True)
class Layout:
    """Points on a plane.

    Attributes
    ----------
    points : (N, 2) float32
    landmarks : (L,) int64
        Which of them were laid out; the rest was placed among them. All, where there were not too many.
    method : str
    """

    points: NDArray[np.float32]
    landmarks: NDArray[np.int64]
    method: str


def lay_out(
    vectors: NDArray[np.floating],
    graph: Neighbours,
    settings: LayoutSettings | None = None,
    *,
    start: NDArray[np.floating] | None = None,
) -> Layout:
    """Vectors as points on a plane.

    Parameters
    ----------
    vectors : (N, C)
        The same that the graph is of.
    graph : Neighbours
        Their nearest neighbours. Its metric is that of the layout, and UMAP and t-SNE look for none themselves. (Where landmarks
        are needed, these get a graph of their own.)
    settings : LayoutSettings, optional
    start : (N, 2), optional
        A layout of the same points to begin with, such as that of the layer before. The result is then moved, turned, mirrored
        and scaled to lie over it as well as it can. When absent UMAP and t-SNE begin with principal components.

    Returns
    -------
    Layout
        The same for the same vectors, graph and settings, on one machine.

    Raises
    ------
    InvalidParameter
        For a graph or a start of other points.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    settings = settings or LayoutSettings()
    rows = scaled(vectors, graph.metric)
    for name, given in (("graph", graph.indices), ("start", start)):
        if given is not None and len(given) != len(rows):
            raise InvalidParameter(
                name, allowed=f"one of the {len(rows)} vectors", received=said(f"one of {len(given)}"), fix=""
            )
    chosen = _landmarks(len(rows), settings)
    some = len(chosen) < len(rows)
    placed = graph
    if some:
        placed = neighbour_graph(rows[chosen], GraphSettings(graph.count, graph.metric, seed=settings.seed))
    begin = None if start is None else np.asarray(start, np.float32)[chosen]
    points = _METHODS[settings.method](rows[chosen], placed, begin, settings).astype(np.float32)
    if not np.isfinite(points).all():
        raise InvalidParameter(
            "method", allowed="a method that lays these points out", received=settings.method,
            fix="It ended in values that are not finite. Try 'pca', or another seed.",
        )  # fmt: skip
    if some:
        points = _place(rows, chosen, points, graph.metric, settings.seed)
    if start is not None:
        points = fit_similarity(points, start)(points).astype(np.float32)
    return Layout(points, chosen, settings.method)


def lay_out_layers(
    layers: Iterable[tuple[NDArray[np.floating], Neighbours]], settings: LayoutSettings | None = None
) -> Iterator[Layout]:
    """Layouts of the same points in several layers, one after another: each starts from the one before it, and lies over it.

    So a concept stays in its corner from layer to layer, as far as the layers agree.

    Parameters
    ----------
    layers : iterable of (vectors, graph)
        In the order of the network; rows are the same points in each.
    settings : LayoutSettings, optional

    Yields
    ------
    Layout
        One a layer.
    """
    before: Layout | None = None
    for vectors, graph in layers:
        before = lay_out(vectors, graph, settings, start=None if before is None else before.points)
        yield before


def line_up(
    vectors: NDArray[np.floating], graph: Neighbours, settings: LayoutSettings | None = None
) -> NDArray[np.float32]:
    """Vectors as points on a line, ``(N,)``: `lay_out` in one dimension, of all points and without a start; raises as it does."""
    settings = settings or LayoutSettings()
    rows = scaled(vectors, graph.metric)
    if len(graph.indices) != len(rows):
        raise InvalidParameter(
            "graph", allowed=f"one of the {len(rows)} vectors", received=said(f"one of {len(graph.indices)}"), fix=""
        )
    found: NDArray[np.float32] = _METHODS[settings.method](rows, graph, None, settings, 1)[:, 0].astype(np.float32)
    return found


def _landmarks(count: int, settings: LayoutSettings) -> NDArray[np.int64]:
    if count <= settings.landmarks:
        return np.arange(count)
    random = generator(settings.seed, "atlas landmarks", str(count))
    return np.sort(random.choice(count, settings.landmarks, replace=False)).astype(np.int64)


def _place(
    rows: NDArray[np.float32], chosen: NDArray[np.int64], points: NDArray[np.float32], metric: str, seed: int
) -> NDArray[np.float32]:
    """All points: landmarks where they are, the rest at the weighted mean of the landmarks nearest to them."""
    found = np.empty((len(rows), points.shape[1]), np.float32)
    found[chosen] = points
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    nearest = nearest_among(rows[chosen], PLACED_BY, GraphSettings(metric=metric, seed=seed))
    for begin in range(0, len(rest), PLACED_AT_ONCE):
        part = rest[begin : begin + PLACED_AT_ONCE]
        # Three are the least that are searched among; what is too many is left away again.
        many = max(3, len(part))
        asked = np.resize(part, many)
        indices, distances = nearest(rows[asked])
        indices, distances = indices[: len(part)], distances[: len(part)].astype(np.float64)
        # UMAP's own weights: the nearest counts fully, and the scale is that of the point's surroundings.
        above = distances - distances[:, :1]
        weights = np.exp(-above / np.maximum(above.mean(axis=1, keepdims=True), 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        found[part] = np.einsum("nk,nkd->nd", weights, points[indices])
    return found


def _pca(
    rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, dimensions: int = 2
) -> Floats:
    """The strongest axes, each with the sign that makes its largest loading positive, so that it is always the same."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    if axes.shape[1] < 2:
        axes = np.concatenate([axes, np.zeros_like(axes)], axis=1)
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(2)] < 0, -1.0, 1.0)
    found: Floats = (centred @ axes)[:, :dimensions]
    return found


def _begin(rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, size: float) -> Any:
    """Where UMAP or t-SNE begins, `size` wide on its wider side (as its standard deviation), around zero."""
    points = _pca(rows, graph, None, settings) if start is None else np.asarray(start, np.float64)
    points = points - points.mean(axis=0)
    spread = float(points.std(axis=0).max())
    points = points * (size / (spread or 1.0))
    # Points that begin in one place would be pushed by the same force for ever.
    shake = generator(settings.seed, "atlas start", str(len(points))).normal(0, 1e-3 * size, points.shape)
    return (points + shake).astype(np.float32)


def _umap(
    rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, dimensions: int = 2
) -> Floats:
    try:
        import umap
    except ImportError as error:
        raise MissingDependency("umap-learn", "umap") from error
    count = min(graph.count + 1, len(rows))
    begin = _begin(rows, graph, start, settings, 3.0)[:, :dimensions]
    indices, distances = graph.with_self(count)
    with warnings.catch_warnings():
        # It says that new points could not be transformed later; they are placed by our own weights.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        model = umap.UMAP(
            n_neighbors=count, n_components=dimensions, min_dist=settings.min_dist, n_epochs=settings.epochs, init=begin,
            random_state=settings.seed, n_jobs=1, precomputed_knn=(indices, distances, None),
        )  # fmt: skip
        # With the neighbours and the start given, the vectors themselves are not looked at.
        with threads_kept():
            found: Floats = model.fit_transform(begin)
    return found


def _tsne(
    rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, dimensions: int = 2
) -> Floats:
    try:
        from scipy.sparse import csr_matrix
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    # It takes three times its perplexity of neighbours: as many as the graph has.
    perplexity = min(30.0, max(1.0, (graph.count - 1) / 3))
    indices, distances = graph.with_self(graph.count + 1)
    # A distance of exactly zero would look like one that is not stored.
    distances = np.maximum(distances, np.float32(1e-12))
    pointers = np.arange(0, indices.size + 1, indices.shape[1])
    matrix = csr_matrix((distances.ravel(), indices.ravel(), pointers), shape=(len(rows), len(rows)))
    # From a layout, not a point: pulled apart as usual, three times as much, it would be torn up and laid out anew.
    size, pull = (1e-4, 12.0) if start is None else (10.0, 4.0)
    model = TSNE(
        dimensions, metric="precomputed", perplexity=perplexity,
        init=_begin(rows, graph, start, settings, size)[:, :dimensions], early_exaggeration=pull,
        random_state=settings.seed, max_iter=settings.epochs or 1000,
    )  # fmt: skip
    found: Floats = model.fit_transform(matrix)
    return found


_METHODS = {"umap": _umap, "tsne": _tsne, "pca": _pca}
