"""`factorize`: directions in a layer's channel space that explain its activations, found without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.draws import generator
from phosphene.errors import InvalidParameter, refuse_foreign, said
from phosphene.features.factorization import METHODS, Fit, Rows
from phosphene.features.result import Features
from phosphene.kit.checks import choice, integer
from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["factorize"]

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

    Returns
    -------
    Features
        Strongest direction first.

    Raises
    ------
    InvalidParameter
        For an unknown method or layer, `k` or `active` outside its range, activations that are not finite or all zero, and
        negative activations with "nmf".
    MissingDependency
        When scikit-learn is not installed.
    """
    choice("method", method, METHODS)
    k, samples, seed = integer("k", k, minimum=1), integer("samples", samples, minimum=1), integer("seed", seed)
    active = integer("active", active, minimum=1)
    if method == "dictionary" and active > k:
        raise InvalidParameter(
            "active",
            allowed=f"at most k = {k}",
            received=active,
            fix="Lower active, or raise k: a position cannot use more directions than there are.",
        )
    given = _source(store, layer)
    rows = _sample(given, layer, samples, seed)
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
    # Scaled to unit mean square, so that a penalty means the same for every layer; directions are not affected.
    found = fit(
        rows / np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean()).astype(np.float32), k, active, seed
    )
    vectors, codes, explained = _unit(found, rows)
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
    }
    return Features(
        layer, method, source, vectors[order], strength[order] / max(strength.sum(), 1e-30), explained, settings
    )


@dataclass(frozen=True)
class ActivationSource:
    """Activations of a layer, readable in pieces ``(n, ..., C)``; `shape` is that of one image."""

    pieces: Callable[[], Iterator[NDArray[Any]]]
    images: int
    shape: tuple[int, ...]
    identity: Any


def _source(store: Any, layer: str) -> ActivationSource:
    refuse_foreign(store, "store")
    names = list(store) if isinstance(store, Mapping) else list(store.names) if hasattr(store, "shards") else [layer]
    if not names:
        raise InvalidParameter(
            "store", allowed="activations of at least one layer", received=store, fix="Read them with ph.activations."
        )
    choice("layer", layer, names, fix="Compute its activations first, with ph.activations.")
    if hasattr(store, "shards"):
        images, shape = len(store.rows()), tuple(store.manifest.arrays[layer].shape)
        return _checked(ActivationSource(lambda: store.shards(layer), images, shape, dict(store.manifest.identity)))
    array = np.asarray(store[layer] if isinstance(store, Mapping) else store)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InvalidParameter(
            "store",
            allowed="an array of numbers",
            received=said(f"dtype {array.dtype}"),
            fix="Give what ph.activations returns.",
        )

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


def _sample(given: ActivationSource, layer: str, samples: int, seed: int) -> Rows:
    """Sample at most `samples` positions as rows ``(n, C)``, in order; the choice depends on the seed and their number only."""
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
    rows = rows[:filled]
    if not np.all(np.isfinite(rows)) or not np.any(rows):
        what = "all are zero" if np.all(np.isfinite(rows)) else "some are NaN or infinite"
        raise InvalidParameter(
            "store",
            allowed="finite activations that are not all zero",
            received=said(f"{layer!r}, of which {what}"),
            fix="Try other images or another layer; ph.diagnose may tell why.",
        )
    return rows


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
