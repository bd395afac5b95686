"""`factorize`: directions in a layer's channel space that explain its activations, found without labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import InputSpec, Network
from phosphene.data.declaration import Images, ImagesLike, of_length
from phosphene.data.items import is_array, is_torch
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import loaded
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, ModelWarning, holds, refuse_foreign, said
from phosphene.extraction.call import read_layers
from phosphene.extraction.collection import same_images
from phosphene.features.factorization import METHODS, Fit, Rows
from phosphene.features.result import Features
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import a_network, choice, integer, listed, one_per, seed_of, text
from phosphene.kit.maps import upsample
from phosphene.layers import OUTPUT
from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["factorize"]

SCALINGS = ("none", "channel", "standard")

TOP, SIDE = 6, 64
"""Images that are kept for each direction, and their longer side in pixels."""

NEAR, NAMED, EXAMPLES = 24, 3, 4
"""Layers that are tried to find those that fit, at most how many are named, and images on which they are tried."""

USUALLY = 0.9
"""Share of positions at which a channel must be finite to be used; positions at which such a channel is not are left out."""

FLAT = 1e-6
"""Spread of a channel, relative to the largest, below which it counts as constant."""

PIECE = 256
"""Images of an array, or rows of a matrix, that are processed at a time."""


def factorize(
    store: Store | Mapping[str, ArrayLike] | ArrayLike,
    layer: str,
    k: int,
    *,
    method: str = "nmf",
    active: int = 5,
    samples: int = 50_000,
    seed: int = 0,
    scaling: str = "none",
    network: Network | None = None,
    images: ImagesLike | None = None,
) -> Features:
    """Factorize the activations of a layer into directions.

    Every position of every image is a row of the matrix that is factorized, every channel a column. The directions are
    objectives like any other: render them with ``ph.render(net, found.objectives())``, explain them with
    ``ph.attribute(net, images, target=found.objective(0))``.

    Parameters
    ----------
    store : Store, mapping of str to array-like, or array-like (N, ..., C)
        Activations: what `phosphene.activations` returns, on disk or in memory, or the array of one layer. A store is read shard
        by shard.
    layer : str
        Path of the layer; for a single array, the layer it comes from.
    k : int
        Number of directions: at most one per row, and for "nmf" at most one per channel.
    method : {"nmf", "kmeans", "dictionary"}, default "nmf"
        "nmf": non-negative matrix factorization (Lee and Seung 1999), for activations that are never negative.
        "kmeans": cluster centres (MacQueen 1967; in mini-batches, Sculley 2010); each position belongs to one cluster.
        "dictionary": sparse dictionary learning (Olshausen and Field 1996; Mairal et al. 2009; refined as by Engan et al. 1999),
        with codes of at most `active` directions by orthogonal matching pursuit (Pati et al. 1993); it may have more directions
        than channels.
    active : int, default 5
        Largest number of directions per position, for "dictionary".
    samples : int, default 50000
        Largest number of positions to use; of more, a random sample is drawn.
    seed : int, default 0
        Random seed; equal seeds give equal directions on one machine.
    scaling : {"none", "channel", "standard"}, default "none"
        "channel": each channel is divided by its root mean square, so that a few channels that are always strong do not make up
        every direction. "standard": it is centred as well (not for "nmf"). A direction then measures the scaled channels, and
        `Features.explained` is their variance.
    network : Network, optional
        The network of the activations. With it, an error about negative activations names the nearest layers that fit.
    images : images, optional
        The images of the activations, in the same order: anything that `phosphene.images` takes. The figure then shows those on
        which each direction is strongest.

    Returns
    -------
    Features
        Strongest direction first.

    Raises
    ------
    InvalidParameter
        For an unknown method or layer, `k` or `active` outside its range, activations of which none is finite or all are zero,
        negative activations with "nmf", and images that are not one per row of the activations.
    MissingDependency
        When scikit-learn is not installed.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite. Such positions, or channels that are so at many, are left out.
    """
    text("layer", layer, fix="Give the path of the layer that the activations come from.")
    choice("method", method, METHODS)
    choice("scaling", scaling, SCALINGS)
    if method == "nmf" and scaling == "standard":
        raise InvalidParameter(
            "scaling",
            allowed="'none' or 'channel' for method='nmf'",
            received=scaling,
            fix="Centred channels are negative at half of the positions: use scaling='channel', or method='kmeans'.",
        )
    k, samples, seed = integer("k", k, minimum=1), integer("samples", samples, minimum=1), seed_of(seed)
    active = integer("active", active, minimum=1)
    if method == "dictionary" and active > k:
        raise InvalidParameter(
            "active",
            allowed=f"at most k = {k}",
            received=active,
            fix="Lower active, or raise k: a position cannot use more directions than there are.",
        )
    if network is not None:
        a_network(network)
    given = _source(store, layer)
    # Rows of a store are numbers of images, of which some may have been skipped.
    on_disk: Any = store if holds(store, "shards", "names", "manifest") else None
    numbers = np.arange(given.images) if on_disk is None else np.asarray(on_disk.rows())
    total = given.images if on_disk is None else on_disk.manifest.rows
    source_images = None if images is None else _photographs(images, total, network)
    if source_images is not None and not source_images.once and network is not None and on_disk is not None:
        same_images(on_disk, source_images, progress=False)
    rows, chosen, columns = _sample(given, layer, samples, seed)
    most = min(rows.shape) if method == "nmf" else len(rows)
    if k > most:
        raise InvalidParameter(
            "k",
            allowed=f"at most {most} for method={method!r} on {len(rows)} positions with {rows.shape[1]} channels",
            received=k,
            fix="method='dictionary' may have more directions than channels."
            if method == "nmf" and k <= len(rows)
            else "Give more images, or lower k.",
        )
    fit, source = METHODS[method]
    if method == "nmf" and rows.min() < 0:
        raise InvalidParameter(
            "method",
            allowed="'kmeans' or 'dictionary' for a layer with negative activations",
            received="nmf",
            fix="Non-negative matrix factorization needs a layer after a ReLU. "
            + _alternatives(store, layer, network, source_images),
        )
    rows, scale = _scaled(rows, scaling)
    # Scaled to unit mean square, so that a penalty means the same for every layer; directions are not affected.
    found = fit(
        rows / np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean()).astype(np.float32), k, active, seed
    )
    vectors, codes, explained = _unit(found, rows)
    if scaling != "none":  # the direction that measures in the layer itself what the vector does of the scaled channels
        vectors = vectors / scale
        lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        vectors = vectors / np.where(lengths > 0, lengths, 1)
    full = np.zeros((len(vectors), given.shape[-1]))
    full[:, columns] = vectors
    vectors = full
    top, top_values = _strongest(codes, numbers[chosen // max(1, prod(given.shape[:-1]))])
    strength = np.abs(codes).sum(axis=0)
    order = np.argsort(-strength, kind="stable")
    settings = {
        "layer": layer,
        "method": method,
        "k": k,
        "active": active if method == "dictionary" else None,
        "samples": samples,
        "seed": seed,
        "data": given.identity,
        "positions": len(rows),
        "of": given.images * prod(given.shape[:-1]),
        "rounds": found.rounds,
        "scaling": scaling,
    }
    top, top_values = top[order], top_values[order]
    photographs = np.empty((0, 0, 0, 0, 0), np.float32)
    if source_images is not None:
        photographs = _shown(source_images, top)
    return Features(
        layer,
        method,
        source,
        vectors[order],
        strength[order] / max(strength.sum(), 1e-30),
        explained,
        settings,
        top,
        top_values,
        photographs,
    )


def _photographs(images: Any, count: int, network: Network | None) -> Source:
    """The source of the images of the activations, one for each of `count` rows."""
    spec = InputSpec((224, 224)) if network is None else network.input
    held = images.given if isinstance(images, Images) else images
    if network is None and is_array(held) and len(held.shape) == 4:
        first, last = held.shape[1], held.shape[-1]
        in_front = first in (1, 3, 4) and (is_torch(held) or last not in (1, 3, 4))
        spec = InputSpec(tuple(held.shape[2:]), first) if in_front else InputSpec(tuple(held.shape[1:3]), last)
    source = source_of(of_length(images, count), spec)
    one_per("images", source, count, "row of the activations")
    return source


def _scaled(rows: Rows, scaling: str) -> tuple[Rows, Floats]:
    """Rows with each channel centred or divided by its root mean square, and the scale."""
    offset, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    if scaling == "standard":
        offset = rows.mean(axis=0, dtype=np.float64)
    if scaling != "none":
        spread = np.sqrt(np.square(rows - offset, dtype=np.float64).mean(axis=0))
        scale = np.where(
            spread > FLAT * max(float(spread.max()), 1e-30), spread, np.inf
        )  # constant channels count for nothing
        rows = np.asarray((rows - offset) / scale, np.float32)
    return rows, scale


def _strongest(codes: Floats, image: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Images ``(k, TOP)`` in which each direction is strongest at one of the positions, and its codes there; -1 for none."""
    names, first = np.unique(image, return_index=True)
    top = np.full((codes.shape[1], TOP), -1, np.int64)
    values = np.full((codes.shape[1], TOP), -np.inf)
    peaks = np.maximum.reduceat(codes, first, axis=0)  # positions are in the order of the images
    count = min(TOP, len(names))
    order = np.argsort(-peaks, axis=0, kind="stable")[:count].T
    found = np.take_along_axis(peaks.T, order, axis=1)
    top[:, :count] = np.where(found > 0, names[order], -1)
    values[:, :count] = np.where(found > 0, found, -np.inf)
    return top, values


def _shown(source: Source, top: NDArray[np.int64]) -> NDArray[np.float32]:
    """The images `top` (k, K), at most `SIDE` pixels a side, ``(k, K, h, w, C)``; mid-grey for -1 and unreadable files."""
    wanted = [int(number) for number in np.unique(top) if number >= 0]
    pictures: dict[int, NDArray[np.float32]] = {}
    for number, image in zip(wanted, source.some(wanted, None), strict=True):
        if isinstance(image, Exception):
            continue
        values = np.asarray(image, np.float32) / (255 if np.asarray(image).dtype == np.uint8 else 1)
        scale = min(1.0, SIDE / max(values.shape[:2]))
        size = max(1, round(values.shape[0] * scale)), max(1, round(values.shape[1] * scale))
        pictures[number] = np.moveaxis(upsample(np.moveaxis(values, -1, 0), size), 0, -1)
    if not pictures:
        return np.empty((0, 0, 0, 0, 0), np.float32)
    grey = np.full(next(iter(pictures.values())).shape, 0.5, np.float32)
    return np.stack([np.stack([pictures.get(int(number), grey) for number in row]) for row in top])


def _alternatives(store: Any, layer: str, network: Network | None, images: Source | None) -> str:
    """A sentence that names the nearest layers without negative activations, of the same store or of the network."""
    fitting = [name for name in _names_of(store) if name != layer and _non_negative(store, name)]
    if fitting:
        near = _nearest(_names_of(store), layer, fitting)
        return f"Of these activations, {listed(near)} {'fits' if len(near) == 1 else 'fit'}."
    if network is None:
        return "Give network=net to have the nearest such layers named."
    paths = [
        path
        for path, found in network.layers.items()
        if found.axes[-1] == "channel" and found.windows == 1 and path != OUTPUT
    ]
    order = _nearest(paths, layer, paths, count=NEAR) if layer in paths else paths[:NEAR]
    spec = network.input
    if images is None:
        given = generator(0, "layers that fit").random((EXAMPLES, *spec.size, spec.channels)).astype(np.float32)
    else:
        given = loaded(source_of(_first(images), spec), spec.size, spec.channels)
    read = read_layers(network, given, tuple(order), EXAMPLES)
    fitting = [path for path in order if path in read and read[path].min() >= 0 and read[path].max() > 0]
    if not fitting:
        return f"None of the {len(order)} nearest layers fits."
    what = "these images" if images is not None else "images of noise"
    return f"Not negative on {what}, and nearest to {layer!r}: {listed(_nearest(paths, layer, fitting))}."


def _first(images: Source) -> list[NDArray[Any]]:
    found = images.some(range(min(EXAMPLES, len(images))), None)
    return [np.asarray(image) for image in found if not isinstance(image, Exception)]


def _nearest(paths: Sequence[str], layer: str, fitting: Sequence[str], *, count: int = NAMED) -> list[str]:
    """Of the layers that fit, those nearest to `layer` in the order of `paths`; the later one first."""
    place = {path: index for index, path in enumerate(paths)}
    return sorted(fitting, key=lambda path: (abs(place[path] - place[layer]), -place[path]))[:count]


def _names_of(store: Any) -> list[str]:
    return list(store) if isinstance(store, Mapping) else list(store.names) if hasattr(store, "shards") else []


def _non_negative(store: Any, name: str) -> bool:
    pieces = store.shards(name) if hasattr(store, "shards") else [np.asarray(store[name])]
    return all(piece.size == 0 or piece.min() >= 0 for piece in pieces)


@dataclass(frozen=True)
class ActivationSource:
    """Activations of a layer, readable in pieces ``(n, ..., C)``; `shape` is that of one image."""

    pieces: Callable[[], Iterator[NDArray[Any]]]
    images: int
    shape: tuple[int, ...]
    identity: Any


def _source(store: Any, layer: str) -> ActivationSource:
    refuse_foreign(store, "store")
    on_disk = holds(store, "shards", "names", "manifest") and not isinstance(store, type)
    names = list(store) if isinstance(store, Mapping) else list(store.names) if on_disk else [layer]
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidParameter(
            "store",
            allowed="activations of at least one layer, by path",
            received=store,
            fix="Read them with ph.activations.",
        )
    choice("layer", layer, names, fix="Compute its activations first, with ph.activations.")
    if on_disk:
        images, shape = len(store.rows()), tuple(store.manifest.arrays[layer].shape)
        return _checked(ActivationSource(lambda: store.shards(layer), images, shape, dict(store.manifest.identity)))
    if isinstance(store, Mapping):
        refuse_foreign(store[layer], f"store[{layer!r}]")
    array = array_like("store", store[layer] if isinstance(store, Mapping) else store)

    def pieces() -> Iterator[NDArray[Any]]:
        return (array[start : start + PIECE] for start in range(0, len(array), PIECE))

    images = len(array) if array.ndim else 0
    return _checked(ActivationSource(pieces, images, array.shape[1:], f"array {array.shape} {array.dtype}"))


def _checked(given: ActivationSource) -> ActivationSource:
    if not given.shape or given.images == 0 or 0 in given.shape:
        raise InvalidParameter(
            "store",
            allowed="activations (N, ..., C) of at least one image",
            received=said(f"shape {(given.images, *given.shape)}"),
            fix="Give what ph.activations returns.",
        )
    return given


def _sample(
    given: ActivationSource, layer: str, samples: int, seed: int
) -> tuple[Rows, NDArray[np.int64], NDArray[np.bool_]]:
    """Sample at most `samples` positions as rows ``(n, C)``, in order; the choice depends on the seed and their number only.

    Also returns the number of each position, over all images, and the mask of the channels that the rows hold.
    """
    each, channels = prod(given.shape[:-1]), given.shape[-1]
    total = given.images * each
    if total > samples:
        chosen = np.sort(generator(seed, "positions").choice(total, samples, replace=False, shuffle=False))
    else:
        chosen = np.arange(total)
    rows, seen, filled = np.empty((len(chosen), channels), np.float32), 0, 0
    for piece in given.pieces():
        flat = piece.reshape(-1, channels)
        first, last = np.searchsorted(chosen, (seen, seen + len(flat)))
        rows[first:last] = flat[chosen[first:last] - seen]
        seen, filled = seen + len(flat), int(last)
    rows, chosen = rows[:filled], chosen[:filled]
    columns, left_out = np.ones(channels, np.bool_), ""
    if not np.all(np.isfinite(rows)):
        valid = np.isfinite(rows)
        columns = valid.mean(axis=0) >= USUALLY
        usable = valid[:, columns].all(axis=1)
        left_out = (
            f"{int((~valid).sum()):,} of {valid.size:,} values of {layer!r} are NaN or infinite: {int((~columns).sum())} of "
            f"{channels} channels and {int((~usable).sum()):,} of {len(rows):,} positions are left out."
        )
        rows, chosen = rows[usable][:, columns], chosen[usable]
    if not rows.size or not np.any(rows):
        raise InvalidParameter(
            "store",
            allowed="finite activations that are not all zero",
            received=said(f"{layer!r}, of which {'all are zero' if rows.size else 'all are NaN or infinite'}"),
            fix="Try other images or another layer; ph.diagnose may tell why.",
        )
    if left_out:
        warnings.warn(left_out, ModelWarning, stacklevel=3)
    return rows, chosen, columns


def _unit(fit: Fit, rows: Rows) -> tuple[Floats, Floats, float]:
    """Normalise the directions to unit length, scale the codes to match, and compute the share of variance they explain.

    A direction that contributes next to nothing to any row, such as a cluster centre at the origin, becomes zero, and so do
    its codes.
    """
    lengths = np.sqrt(np.square(fit.vectors).sum(axis=1))
    there = lengths * np.abs(fit.codes).max(axis=0) > 1e-6  # of rows whose mean squared length is 1
    vectors = np.where(there[:, None], fit.vectors / np.where(there, lengths, 1)[:, None], 0.0)
    codes = fit.codes * np.where(there, lengths, 0.0)
    scale = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean())
    mean = rows.mean(axis=0, dtype=np.float64) / scale
    missed = varied = 0.0
    for start in range(0, len(rows), PIECE):
        part = rows[start : start + PIECE] / scale
        missed += float(np.square(part - codes[start : start + PIECE] @ vectors).sum())
        varied += float(np.square(part - mean).sum())
    return vectors, codes, 1 - missed / varied if varied > 0 else 1.0
