"""Step 4 of an atlas: lay the points out on a plane, so that similar activations are close to each other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.neighbours import GraphSettings, Neighbours, nearest_among, neighbour_graph, scaled
from phosphene.atlas.procrustes import fit_similarity
from phosphene.draws import generator, short_seed
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.kit.checks import choice, integer, number, seed_of
from phosphene.kit.records import from_arrays
from phosphene.kit.threads import threads_kept
from phosphene.types import Floats

__all__ = ["METHODS", "Layout", "LayoutSettings", "lay_out", "lay_out_layers", "line_up"]

METHODS = {
    "umap": "McInnes, Healy and Melville 2018",
    "tsne": "van der Maaten and Hinton 2008",
    "pca": "Pearson 1901",
}
PLACED_BY = 15
"""Number of nearest landmarks by which other points are placed."""

PLACED_AT_ONCE = 10_000
"""Number of points placed at once."""


@dataclass(frozen=True)
class LayoutSettings:
    """Settings of the layout.

    Attributes
    ----------
    method : "umap", "tsne" or "pca", default "umap"
        UMAP runs on one thread, since the result of several would depend on their timing.
    min_dist : float, default 0.05
        Minimum distance of neighbours in UMAP, in [0, 1): smaller values pack them more tightly.
    epochs : int, optional
        Iterations of UMAP or t-SNE (default: 500 or 200 for UMAP, by the number of points; 1000 for t-SNE).
    landmarks : int, default 100_000
        Above this number of points, only a random subset of this size is laid out. Every other point is placed at the weighted
        mean of its 15 nearest landmarks.
    seed : int, default 0
        Random seed.
    """

    method: str = "umap"
    min_dist: float = 0.05
    epochs: int | None = None
    landmarks: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        choice("method", self.method, METHODS)
        if number("min_dist", self.min_dist, minimum=0, example=0.05) >= 1:
            raise InvalidParameter(
                "min_dist", allowed="a number in [0, 1)", received=self.min_dist, fix="For example min_dist=0.05."
            )
        if self.epochs is not None:
            integer("epochs", self.epochs, minimum=1)
            if self.method == "tsne" and self.epochs < 250:
                raise InvalidParameter(
                    "epochs",
                    allowed="at least 250 for t-SNE",
                    received=self.epochs,
                    fix="For example epochs=1000: the first 250 iterations are early exaggeration.",
                )
        integer("landmarks", self.landmarks, minimum=10)
        seed_of(self.seed)


@dataclass(frozen=True)
class Layout:
    """Points on a plane.

    Attributes
    ----------
    points : (N, 2) float32
    landmarks : (L,) int64
        Indices of the points that were laid out; the others were placed relative to them. All points, unless there were too many.
    method : str
    """

    points: Annotated[NDArray[np.float32], "N 2"]
    landmarks: Annotated[NDArray[np.int64], "L"]
    method: str

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Layout:
        """The layout from the arrays of the step; ValueError for others."""
        made = from_arrays(Layout, arrays)
        if made.landmarks.size and not 0 <= made.landmarks.min() <= made.landmarks.max() < len(made.points):
            raise ValueError("its landmarks are not among its points")
        return made


def lay_out(
    vectors: NDArray[np.floating],
    graph: Neighbours,
    settings: LayoutSettings | None = None,
    *,
    start: NDArray[np.floating] | None = None,
) -> Layout:
    """Lay vectors out on a plane.

    Parameters
    ----------
    vectors : (N, C)
    graph : Neighbours
        Nearest neighbours of the vectors. The layout uses its metric, and UMAP and t-SNE use its neighbours. (Landmarks, if
        needed, get a graph of their own.)
    settings : LayoutSettings, optional
    start : (N, 2), optional
        Initial layout of the same points, such as that of the previous layer (default for UMAP and t-SNE: the first principal
        components). The result is aligned with it by translation, rotation, reflection and scaling.

    Returns
    -------
    Layout
        Deterministic on one machine.

    Raises
    ------
    InvalidParameter
        For a graph or a start with a different number of points.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    settings = settings or LayoutSettings()
    rows = scaled(vectors, graph.metric)
    for name, given in (("graph", graph.indices), ("start", start)):
        if given is not None and len(given) != len(rows):
            raise InvalidParameter(
                name,
                allowed=f"a {name} of the {len(rows)} vectors",
                received=said(f"one of {len(given)} points"),
                fix="Compute it from the same points, in the same order.",
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
            "method",
            allowed="a method that gives finite coordinates for these points",
            received=settings.method,
            fix="Try method='pca', or another seed.",
        )
    if some:
        points = _place(rows, chosen, points, graph.metric, settings.seed)
    if start is not None:
        points = fit_similarity(points, start)(points).astype(np.float32)
    return Layout(points, chosen, settings.method)


def lay_out_layers(
    layers: Iterable[tuple[NDArray[np.floating], Neighbours]], settings: LayoutSettings | None = None
) -> Iterator[Layout]:
    """Lay out the same points in several layers, each starting from the previous layout and aligned with it.

    A concept then stays in the same region of the map from layer to layer, as far as the layers agree.

    Parameters
    ----------
    layers : iterable of (vectors, graph)
        In the order of the network; row i is the same point in each.
    settings : LayoutSettings, optional

    Yields
    ------
    Layout
        One per layer.
    """
    before: Layout | None = None
    for vectors, graph in layers:
        before = lay_out(vectors, graph, settings, start=None if before is None else before.points)
        yield before


def line_up(
    vectors: NDArray[np.floating], graph: Neighbours, settings: LayoutSettings | None = None
) -> NDArray[np.float32]:
    """Lay vectors out on a line, ``(N,)``: `lay_out` in one dimension, for all points and without a start."""
    settings = settings or LayoutSettings()
    rows = scaled(vectors, graph.metric)
    if len(graph.indices) != len(rows):
        raise InvalidParameter(
            "graph",
            allowed=f"a graph of the {len(rows)} vectors",
            received=said(f"one of {len(graph.indices)} points"),
            fix="Compute it from the same points, in the same order.",
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
    """All points: landmarks at their coordinates, the others at the weighted mean of their nearest landmarks."""
    found = np.empty((len(rows), points.shape[1]), np.float32)
    found[chosen] = points
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    nearest = nearest_among(rows[chosen], PLACED_BY, GraphSettings(metric=metric, seed=seed))
    for begin in range(0, len(rest), PLACED_AT_ONCE):
        part = rest[begin : begin + PLACED_AT_ONCE]
        # The search takes at least three queries; surplus ones are dropped.
        many = max(3, len(part))
        asked = np.resize(part, many)
        indices, distances = nearest(rows[asked])
        indices, distances = indices[: len(part)], distances[: len(part)].astype(np.float64)
        # Weights as in UMAP: 1 for the nearest landmark, decaying at the scale of the point's neighbourhood.
        above = distances - distances[:, :1]
        weights = np.exp(-above / np.maximum(above.mean(axis=1, keepdims=True), 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        found[part] = np.einsum("nk,nkd->nd", weights, points[indices])
    return found


def _pca(
    rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, dimensions: int = 2
) -> Floats:
    """Principal components; the sign of each axis makes its largest loading positive, so that it is deterministic."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    if axes.shape[1] < 2:
        axes = np.concatenate([axes, np.zeros_like(axes)], axis=1)
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(2)] < 0, -1.0, 1.0)
    found: Floats = (centred @ axes)[:, :dimensions]
    return found


def _begin(rows: NDArray[np.float32], graph: Neighbours, start: Any, settings: LayoutSettings, size: float) -> Any:
    """Initial layout of UMAP or t-SNE, centred, with a standard deviation of `size` on the wider axis."""
    points = _pca(rows, graph, None, settings) if start is None else np.asarray(start, np.float64)
    points = points - points.mean(axis=0)
    spread = float(points.std(axis=0).max())
    points = points * (size / (spread or 1.0))
    # Points with equal coordinates would receive equal forces and never separate.
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
        # UMAP warns that it cannot transform new points; they are placed by `_place` instead.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        model = umap.UMAP(
            n_neighbors=count,
            n_components=dimensions,
            min_dist=settings.min_dist,
            n_epochs=settings.epochs,
            init=begin,
            random_state=short_seed(settings.seed),
            n_jobs=1,
            precomputed_knn=(indices, distances, None),
        )
        # UMAP does not use the vectors, since the neighbours and the initial layout are given.
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
    # t-SNE uses three times its perplexity of neighbours: as many as the graph has.
    perplexity = min(30.0, max(1.0, (graph.count - 1) / 3))
    indices, distances = graph.with_self(graph.count + 1)
    # A sparse matrix treats a distance of exactly zero as missing.
    distances = np.maximum(distances, np.float32(1e-12))
    pointers = np.arange(0, indices.size + 1, indices.shape[1])
    matrix = csr_matrix((distances.ravel(), indices.ravel(), pointers), shape=(len(rows), len(rows)))
    # The usual early exaggeration of 12 would destroy a given initial layout.
    size, pull = (1e-4, 12.0) if start is None else (10.0, 4.0)
    model = TSNE(
        dimensions,
        metric="precomputed",
        perplexity=perplexity,
        init=_begin(rows, graph, start, settings, size)[:, :dimensions],
        early_exaggeration=pull,
        random_state=short_seed(settings.seed),
        max_iter=settings.epochs or 1000,
    )
    found: Floats = model.fit_transform(matrix)
    return found


_METHODS = {"umap": _umap, "tsne": _tsne, "pca": _pca}
