"""`embed` and `probe`: how a layer arranges images, and how well classes can be read off it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.activations import ImagesLike, activations
from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streaming import stream
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, MissingDependency, nearest, said
from phosphene.feature_maps import on_grid
from phosphene.maps import upsample
from phosphene.rendering import describe
from phosphene.results import Embedding
from phosphene.threads import threads_kept
from phosphene.types import Floats

__all__ = ["embed", "probe"]

SOURCES = {
    "pca": "Pearson 1901; Hotelling 1933",
    "tsne": "van der Maaten and Hinton 2008",
    "umap": "McInnes et al. 2018",
}
NEIGHBOURS = 15
MOST_JUDGED = 5000
"""Points among which trustworthiness is judged: it takes all distances between them."""

REDUCED = 50
"""Principal components to which vectors are brought before t-SNE and UMAP, as is usual: the rest is mostly noise."""


def embed(
    network: Network,
    images: ImagesLike,
    layer: str,
    *,
    method: str = "pca",
    dimensions: int = 2,
    seed: int = 0,
    thumbnails: bool = False,
    count: int | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **options: Any,
) -> Embedding:
    """A layer's activations of many images as points.

    An activation with positions is averaged over them first, so that a point is an image.

    Parameters
    ----------
    network : Network
    images : array-like, path, sequence or iterable
        As of `phosphene.activations`.
    layer : str
        Path of the layer.
    method : "pca", "tsne" or "umap", default "pca"
        The last needs the extra ``umap``.
    dimensions : 2 or 3, default 2
    seed : int, default 0
        Of what is drawn; equal seeds give equal points on one machine.
    thumbnails : bool, default False
        Whether small images are kept, to be drawn in place of points.
    count : int, optional
        How many of an iterable that has no length.
    progress : callable or bool, optional
        See `phosphene.render`.
    **options
        Of ``sklearn.decomposition.PCA``, ``sklearn.manifold.TSNE`` (``perplexity``) or ``umap.UMAP`` (``n_neighbors``).

    Returns
    -------
    Embedding

    Raises
    ------
    InvalidParameter
        For an unknown method, another number of dimensions, or fewer images than it takes.
    MissingDependency
        When scikit-learn or umap-learn is not installed.
    """
    if method not in SOURCES:
        near = nearest(str(method), SOURCES)
        raise InvalidParameter(
            "method", allowed="'pca', 'tsne' or 'umap'", received=method, fix=f"Did you mean {near}?" if near else ""
        )
    if dimensions not in (2, 3):
        raise InvalidParameter("dimensions", allowed="2 or 3", received=dimensions, fix="A picture has no more.")
    seed = integer("seed", seed)
    spec = network.input
    source = source_of(images, spec.size, spec.channels, count=count)
    read, small = _vectors(network, source, (layer,), 28 if thumbnails else 0)
    vectors = read[layer]
    if len(vectors) < 2 * dimensions:
        raise InvalidParameter(
            "images",
            allowed=f"at least {2 * dimensions}",
            received=said(f"{len(vectors)}"),
            fix="Fewer make no picture.",
        )
    points, variance = _points(vectors, method, dimensions, seed, options)
    judged = np.random.default_rng(seed).permutation(len(vectors))[:MOST_JUDGED]
    neighbours = min(NEIGHBOURS, (len(judged) - 1) // 2)
    trust = _sklearn("manifold").trustworthiness(vectors[judged], points[judged], n_neighbors=neighbours)
    settings = {
        **describe(network, seed, spec.size),
        "data": source.identity(),
        "layer": layer,
        "method": method,
        "options": options,
    }
    return Embedding(
        points.astype(np.float32), method, SOURCES[method], layer, float(trust), neighbours, variance, small, settings
    )


def probe(
    network: Network,
    images: ImagesLike,
    labels: ArrayLike,
    layers: str | Sequence[str],
    *,
    seed: int = 0,
    folds: int = 5,
) -> dict[str, tuple[float, float]]:
    """How well classes can be read off layers by a linear classifier (Alain and Bengio 2016).

    Parameters
    ----------
    network : Network
    images : array-like, path, sequence or iterable
        As of `phosphene.activations`.
    labels : array-like (N,)
        A class an image.
    layers : str or sequence of str
        Paths.
    seed : int, default 0
        Of how images are dealt out to the folds.
    folds : int, default 5
        Parts; each in turn is what the classifier did not see.

    Returns
    -------
    dict of str to (float, float)
        Path to mean accuracy over the folds and its standard error.

    Raises
    ------
    InvalidParameter
        For labels that are not one an image, or a class with fewer images than folds.
    MissingDependency
        When scikit-learn is not installed.
    """
    selection, linear, pipeline, preprocessing = (
        _sklearn(name) for name in ("model_selection", "linear_model", "pipeline", "preprocessing")
    )
    classes, wanted = np.unique(np.asarray(labels), return_inverse=True)
    fewest = int(np.bincount(wanted).min()) if len(wanted) else 0
    if len(classes) < 2 or fewest < folds:
        raise InvalidParameter(
            "labels", allowed=f"at least 2 classes of {folds} images or more",
            received=said(f"{len(classes)} classes, {fewest} images in the smallest"),
            fix="Give more images, or fewer folds.",
        )  # fmt: skip
    spec = network.input
    # Only of what has no length of its own the labels are the count: of the rest each image must have one.
    unsized = (
        hasattr(images, "__iter__") and not hasattr(images, "__len__") and not isinstance(images, (str, Path, Source))
    )
    source = source_of(images, spec.size, spec.channels, count=len(wanted) if unsized else None)
    if len(source) != len(wanted):
        raise InvalidParameter(
            "labels", allowed=f"{len(source)} labels, one an image", received=said(f"{len(wanted)}"), fix=""
        )
    read, _ = _vectors(network, source, (layers,) if isinstance(layers, str) else tuple(layers), 0)
    counts = {len(vectors) for vectors in read.values()}
    if counts != {len(wanted)}:  # an iterable that has no length was shorter
        raise InvalidParameter(
            "labels", allowed=f"{min(counts)} labels, one an image", received=said(f"{len(wanted)}"), fix=""
        )
    result = {}
    for path, vectors in read.items():
        classifier = pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression(max_iter=1000))
        parts = selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
        scores = selection.cross_val_score(classifier, vectors, wanted, cv=parts)
        result[path] = float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(folds))
    return result


def _vectors(
    network: Network, source: Any, layers: Sequence[str], thumbnail: int
) -> tuple[dict[str, Floats], NDArray[np.float32]]:
    """One vector an image for each layer, and thumbnails of that side (none where it is 0), in one pass over the images."""
    spec = network.input
    vectors: dict[str, list[Floats]] = {path: [] for path in layers}
    small = []
    for whole, good in stream(source, spec.size, spec.channels, 64):
        if not good.any():
            continue
        for path, value in activations(network, whole[good], layers).items():
            kind = network.layers[path]
            cells = on_grid(value, kind) if kind.spatial else value
            vectors[path].append(cells.reshape(len(cells), -1, cells.shape[-1]).mean(axis=1))
        if thumbnail:
            planes = [upsample(whole[good][..., colour], (thumbnail, thumbnail)) for colour in range(spec.channels)]
            small.append(np.stack(planes, axis=-1))
    empty = np.empty((0, 0, 0, spec.channels), np.float32)
    read: dict[str, Floats] = {path: np.concatenate(parts).astype(np.float64) for path, parts in vectors.items()}
    return read, np.concatenate(small) if small else empty


def _points(vectors: Floats, method: str, dimensions: int, seed: int, options: dict[str, Any]) -> tuple[Floats, Floats]:
    decomposition = _sklearn("decomposition")
    if method == "pca":
        model = decomposition.PCA(dimensions, random_state=seed, **options)
        return model.fit_transform(vectors), model.explained_variance_ratio_
    if vectors.shape[1] > REDUCED and len(vectors) > REDUCED:
        vectors = decomposition.PCA(REDUCED, random_state=seed).fit_transform(vectors)
    if method == "tsne":
        given = {"perplexity": min(30.0, (len(vectors) - 1) / 3), "init": "pca", **options}
        return _sklearn("manifold").TSNE(dimensions, random_state=seed, **given).fit_transform(vectors), np.empty(0)
    try:
        import umap
    except ImportError as error:
        raise MissingDependency("umap-learn", "umap") from error
    given = {"n_neighbors": min(NEIGHBOURS, len(vectors) - 1), "n_jobs": 1, **options}
    with threads_kept():
        return umap.UMAP(n_components=dimensions, random_state=seed, **given).fit_transform(vectors), np.empty(0)


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
