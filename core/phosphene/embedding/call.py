"""`embed` and `probe`: a layer's activations as points, and how well a linear classifier separates classes in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import Network
from phosphene.channel_maps.call import on_grid
from phosphene.data.declaration import ImagesLike, of_length
from phosphene.data.digests import Digests, digest_of_all
from phosphene.data.source import Source
from phosphene.data.sources import IterableSource, source_of
from phosphene.data.streams import stream
from phosphene.draws import short_seed
from phosphene.embedding.result import Embedding
from phosphene.errors import InvalidParameter, MissingDependency, brief, said
from phosphene.extraction.call import BATCH, read_layers
from phosphene.kit.arguments import array_like, layer_paths, optional_integer
from phosphene.kit.checks import a_network, boolean, choice, integer, one_per, seed_of
from phosphene.kit.finite import NotFinite, finite_part, mean_over_positions
from phosphene.kit.maps import upsample
from phosphene.kit.progress import Progress, check_progress
from phosphene.kit.provenance import describe
from phosphene.kit.threads import threads_kept
from phosphene.types import Floats

__all__ = ["embed", "probe"]

SOURCES = {
    "pca": "Pearson 1901; Hotelling 1933",
    "tsne": "van der Maaten and Hinton 2008",
    "umap": "McInnes et al. 2018",
}
NEIGHBOURS = 15
MOST_POINTS = 5000
"""Largest number of points from which trustworthiness is computed: it needs all distances between them."""

REDUCED = 50
"""Principal components to which activations are reduced before t-SNE and UMAP, as is customary; the rest is mostly noise."""


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
    """Embed images as points by their activations at a layer.

    Activations are averaged over positions first, so that each point is an image.

    Parameters
    ----------
    network : Network
    images : images
        Anything that `phosphene.images` takes.
    layer : str
        Path of the layer.
    method : {"pca", "tsne", "umap"}, default "pca"
        "umap" needs the extra ``umap``.
    dimensions : {2, 3}, default 2
    seed : int, default 0
        Random seed; equal seeds give equal points on one machine.
    thumbnails : bool, default False
        Whether to keep thumbnails of the images, drawn in place of points.
    count : int, optional
        Number of images to use, from the first on (default: all). Required for an iterable without a length.
    progress : callable or bool, optional
        See `phosphene.render`.
    **options
        Options of ``sklearn.decomposition.PCA``, ``sklearn.manifold.TSNE`` (such as ``perplexity``) or ``umap.UMAP`` (such as
        ``n_neighbors``).

    Returns
    -------
    Embedding

    Raises
    ------
    InvalidParameter
        For an unknown method, an invalid number of dimensions, or too few images.
    MissingDependency
        When scikit-learn or umap-learn is not installed.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite. Channels with such values are left out; an image without others is a point at
        NaN.
    """
    a_network(network).layers[layer]
    choice("method", method, SOURCES)
    dimensions = integer("dimensions", dimensions, minimum=2, maximum=3)
    seed, thumbnails = seed_of(seed), boolean("thumbnails", thumbnails)
    count = optional_integer("count", count, minimum=1)
    check_progress(progress)
    _check_options(method, options)
    spec = network.input
    source = source_of(images, spec, count=count)
    digests = Digests()
    read, small = _vectors(network, source, (layer,), 28 if thumbnails else 0, digests)
    vectors = read[layer]
    rows, columns = _usable("layer", layer, vectors)
    vectors = vectors[rows][:, columns]
    if len(vectors) < 2 * dimensions:
        raise InvalidParameter(
            "images",
            allowed=f"at least {2 * dimensions} images for {dimensions} dimensions",
            received=said(f"{len(vectors)}" + ("" if rows.all() else " with finite activations")),
            fix="Give more images; a useful embedding needs hundreds.",
        )
    if vectors.shape[1] < dimensions:
        raise InvalidParameter(
            "layer",
            allowed=f"a layer with at least {dimensions} channels" + ("" if columns.all() else " that are finite"),
            received=layer,
            fix="Choose another layer: net.layers shows the channels.",
        )
    points, variance = _points(vectors, method, dimensions, seed, options)
    judged = np.random.default_rng(seed).permutation(len(vectors))[:MOST_POINTS]
    neighbours = min(NEIGHBOURS, (len(judged) - 1) // 2)
    trust = _sklearn("manifold").trustworthiness(vectors[judged], points[judged], n_neighbors=neighbours)
    settings = {
        **describe(network, seed, spec.size),
        "data": source.identity(),
        "pixels": digest_of_all(digests.taken()),
        "layer": layer,
        "method": method,
        "options": options,
    }
    if not rows.all():  # one point per image, so that labels still fit
        everywhere = np.full((len(rows), points.shape[1]), np.nan)
        everywhere[rows] = points
        points = everywhere
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
    """Cross-validated accuracy of a linear classifier trained on each layer (linear probes, Alain and Bengio 2016).

    Parameters
    ----------
    network : Network
    images : images
        Anything that `phosphene.images` takes.
    labels : array-like (N,)
        Class of each image.
    layers : str or sequence of str
        Paths of the layers.
    seed : int, default 0
        Random seed of the assignment of images to folds.
    folds : int, default 5
        Number of cross-validation folds.

    Returns
    -------
    dict of str to (float, float)
        Mean accuracy over the folds and its standard error, by layer path.

    Raises
    ------
    InvalidParameter
        When the number of labels differs from that of the images, a class has fewer images than there are folds, or there are
        fewer than 2 folds.
    MissingDependency
        When scikit-learn is not installed.
    """
    paths = layer_paths(a_network(network), layers)
    seed, folds = seed_of(seed), integer("folds", folds, minimum=2)
    given = array_like("labels", labels, kinds="iufbUS", allowed="an array of integers or strings, one per image")
    if given.ndim != 1:
        raise InvalidParameter(
            "labels",
            allowed="one class per image",
            received=said(f"shape {given.shape}"),
            fix="Give a list of classes.",
        )
    selection, linear, pipeline, preprocessing = (
        _sklearn(name) for name in ("model_selection", "linear_model", "pipeline", "preprocessing")
    )
    classes, wanted = np.unique(given, return_inverse=True)
    fewest = int(np.bincount(wanted).min()) if len(wanted) else 0
    if len(classes) < 2 or fewest < folds:
        raise InvalidParameter(
            "labels",
            allowed=f"at least 2 classes with at least {folds} images each",
            received=said(
                f"{len(classes)} class{'es' * (len(classes) != 1)} with {fewest} image{'s' * (fewest != 1)} in the smallest"
            ),
            fix="Give more images, or fewer folds.",
        )
    spec = network.input
    # Labels give the length of an iterable that has none; anything else must have as many images as labels.
    counted = of_length(images, len(wanted))
    source = source_of(counted, spec)
    one_per("labels", wanted, len(source), "image")
    try:
        read, _ = _vectors(network, source, paths, 0)
    except InvalidParameter:
        if counted is not images and isinstance(source, IterableSource) and source.once:  # it may end early
            one_per("labels", wanted, source.position[0], "image")
        raise
    result = {}
    for path, vectors in read.items():
        rows, columns = _usable("layers", path, vectors)
        classifier = pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression(max_iter=1000))
        parts = selection.StratifiedKFold(folds, shuffle=True, random_state=short_seed(seed))
        scores = selection.cross_val_score(classifier, vectors[rows][:, columns], wanted[rows], cv=parts)
        result[path] = float(scores.mean()), float(scores.std(ddof=1) / np.sqrt(folds))
    return result


def _vectors(
    network: Network, source: Source, layers: Sequence[str], thumbnail: int, digests: Digests | None = None
) -> tuple[dict[str, Floats], NDArray[np.float32]]:
    """Activations of each layer averaged over positions, and thumbnails of that side (0: none), in one pass over the images."""
    spec = network.input
    vectors: dict[str, list[Floats]] = {path: [] for path in layers}
    small, finite = [], NotFinite(network.name)
    for whole, good in stream(source, spec.size, spec.channels, 64, seen=digests):
        if not good.any():
            continue
        read = read_layers(network, whole[good], tuple(layers), min(BATCH, int(good.sum())), finite)
        for path, value in read.items():
            kind = network.layers[path]
            cells = on_grid(value, kind) if kind.spatial else value
            vectors[path].append(mean_over_positions(cells))
        if thumbnail:
            planes = [upsample(whole[good][..., colour], (thumbnail, thumbnail)) for colour in range(spec.channels)]
            small.append(np.stack(planes, axis=-1))
    finite.warn(stacklevel=4)
    empty = np.empty((0, 0, 0, spec.channels), np.float32)
    found: dict[str, Floats] = {path: np.concatenate(parts).astype(np.float64) for path, parts in vectors.items()}
    return found, np.concatenate(small) if small else empty


def _points(vectors: Floats, method: str, dimensions: int, seed: int, options: dict[str, Any]) -> tuple[Floats, Floats]:
    decomposition = _sklearn("decomposition")
    if method == "pca":
        model = decomposition.PCA(dimensions, random_state=short_seed(seed), **options)
        return _fitted(model, vectors, options), model.explained_variance_ratio_
    if vectors.shape[1] > REDUCED and len(vectors) > REDUCED:
        vectors = decomposition.PCA(REDUCED, random_state=short_seed(seed)).fit_transform(vectors)
    if method == "tsne":
        given = {"perplexity": min(30.0, (len(vectors) - 1) / 3), "init": "pca", **options}
        model = _sklearn("manifold").TSNE(dimensions, random_state=short_seed(seed), **given)
        return _fitted(model, vectors, options), np.empty(0)
    given = {"n_neighbors": min(NEIGHBOURS, len(vectors) - 1), "n_jobs": 1, **options}
    with threads_kept():
        model = _class("umap")(n_components=dimensions, random_state=short_seed(seed), **given)
        return _fitted(model, vectors, options), np.empty(0)


OWN = ("n_components", "random_state")
"""Parameters of the methods that are arguments of `embed` under other names."""


def _check_options(method: str, options: Mapping[str, Any]) -> None:
    """Check the names of the options of a method."""
    known = [name for name in inspect.signature(_class(method)).parameters if name not in OWN]
    for name in options:
        choice("options", name, known, fix=f"See the parameters of {SHOWN[method]}.")


SHOWN = {"pca": "sklearn.decomposition.PCA", "tsne": "sklearn.manifold.TSNE", "umap": "umap.UMAP"}


def _class(method: str) -> Any:
    if method != "umap":
        return _sklearn("decomposition").PCA if method == "pca" else _sklearn("manifold").TSNE
    try:
        import umap
    except ImportError as error:
        raise MissingDependency("umap-learn", "umap") from error
    return umap.UMAP


def _fitted(model: Any, vectors: Floats, options: Mapping[str, Any]) -> Floats:
    """Points of a model of scikit-learn or umap-learn, which check their options only now."""
    try:
        points: Floats = model.fit_transform(vectors)
    except Exception as error:
        if not options:
            raise
        raise InvalidParameter(
            "options",
            allowed=f"values that {type(model).__name__} takes",
            received=dict(options),
            fix=f"It says: {brief(str(error))}",
        ) from error
    return points


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error


def _usable(parameter: str, layer: str, vectors: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the images and channels of a layer that can be used; raise if all values are NaN or infinite."""
    rows, columns = finite_part(vectors)
    if not columns.any():
        raise InvalidParameter(
            parameter,
            allowed="a layer with finite activations" if parameter == "layer" else "layers with finite activations",
            received=layer,
            fix="All of its values are NaN or infinite: ph.diagnose finds the first layer that has such values.",
        )
    return rows, columns
