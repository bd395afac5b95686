"""`factorize`: a few directions of which a layer's activations are made, found without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, nearest, refuse_foreign, said
from phosphene.features.learning import METHODS, Fit, Rows
from phosphene.results.features import Features
from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["factorize"]

PIECE = 256
"""Images of an array, or rows of a matrix, at a time."""


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
    """The directions that a layer's activations are made of, position by position.

    Every position of every image is a row; channels are its columns. What is found are targets like any other: render them with
    ``ph.render(net, found.objectives())``, explain them with ``ph.attribute(net, images, target=found.objective(0))``.

    Parameters
    ----------
    store : Store, mapping of str to array-like, or array-like (N, ..., C)
        Activations: what `phosphene.activations` returns, on disk or in memory, or those of one layer. A store is read shard by
        shard.
    layer : str
        Which of them; for a single array, whose it is.
    k : int
        How many directions. At most one a row, and for "nmf" at most one a channel.
    method : "nmf", "kmeans" or "dictionary", default "nmf"
        Non-negative matrix factorisation (Lee and Seung 1999): parts that add up, for activations that are never negative.
        Centres of clusters (MacQueen 1967; in small batches, Sculley 2010): each position is of one kind. A sparse dictionary
        (Olshausen and Field 1996; Mairal et al. 2009, then Engan et al. 1999), whose codes are orthogonal matching pursuits
        (Pati et al. 1993) of `active` directions: it may have more directions than channels.
    active : int, default 5
        Directions that a position is made of at most, for "dictionary".
    samples : int, default 50000
        Positions that are looked at, at most; drawn at random where there are more.
    seed : int, default 0
        Of the draw and the method; equal seeds give equal directions on one machine.

    Returns
    -------
    Features
        Strongest first.

    Raises
    ------
    InvalidParameter
        For an unknown method or layer, `k` or `active` outside what is allowed, activations that are not finite or all zero, and
        "nmf" of activations of which some are negative.
    MissingDependency
        When scikit-learn is not installed.
    """
    if method not in METHODS:
        near = nearest(str(method), METHODS)
        raise InvalidParameter(
            "method", allowed="'nmf', 'kmeans' or 'dictionary'", received=method,
            fix=f"Did you mean {near}?" if near else "",
        )  # fmt: skip
    k, samples, seed = integer("k", k, minimum=1), integer("samples", samples, minimum=1), integer("seed", seed)
    active = integer("active", active, minimum=1)
    if method == "dictionary" and active > k:
        raise InvalidParameter(
            "active",
            allowed=f"at most k = {k}",
            received=active,
            fix="A position cannot be made of more than there are.",
        )
    given = _given(store, layer)
    rows = _sample(given, layer, samples, seed)
    most = min(rows.shape) if method == "nmf" else len(rows)
    if k > most:
        raise InvalidParameter(
            "k", allowed=f"at most {most}, for {method} of {len(rows)} positions with {rows.shape[1]} channels", received=k,
            fix="'dictionary' may have more directions than channels." if method == "nmf" and k <= len(rows)
            else "Give more images, or ask for fewer.",
        )  # fmt: skip
    fit, source = METHODS[method]
    # One scale for every layer, so that a penalty means the same in all of them; directions do not change by it.
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
class Given:
    """Activations in pieces ``(n, ..., C)``; `shape` is that of one image's."""

    pieces: Callable[[], Iterator[NDArray[Any]]]
    images: int
    shape: tuple[int, ...]
    identity: Any


def _given(store: Any, layer: str) -> Given:
    refuse_foreign(store, "store")
    names = list(store) if isinstance(store, Mapping) else list(store.names) if hasattr(store, "shards") else [layer]
    if layer not in names:
        near = nearest(str(layer), names)
        raise InvalidParameter(
            "layer", allowed=" or ".join(map(repr, names)) or "a layer that was read", received=layer,
            fix=f"Did you mean {near}?" if near else "Read it first, with ph.activations.",
        )  # fmt: skip
    if hasattr(store, "shards"):
        images, shape = len(store.rows()), tuple(store.manifest.arrays[layer].shape)
        return _checked(Given(lambda: store.shards(layer), images, shape, dict(store.manifest.identity)))
    array = np.asarray(store[layer] if isinstance(store, Mapping) else store)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InvalidParameter("store", allowed="numbers", received=said(f"dtype {array.dtype}"), fix="")

    def pieces() -> Iterator[NDArray[Any]]:
        return (array[start : start + PIECE] for start in range(0, len(array), PIECE))

    images = len(array) if array.ndim else 0
    return _checked(Given(pieces, images, array.shape[1:], f"array {array.shape} {array.dtype}"))


def _checked(given: Given) -> Given:
    if not given.shape or given.images == 0 or 0 in given.shape:
        raise InvalidParameter(
            "store", allowed="activations (N, ..., C) of at least one image",
            received=said(f"shape {(given.images, *given.shape)}"), fix="ph.activations returns them so.",
        )  # fmt: skip
    return given


def _sample(given: Given, layer: str, samples: int, seed: int) -> Rows:
    """Positions as rows ``(n, C)`` in their order, at most `samples`; which ones follows from the seed and their number alone."""
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
            "store", allowed="finite activations, not all zero", received=said(f"{layer}, of which {what}"), fix=""
        )
    return rows


def _unit(fit: Fit, rows: Rows) -> tuple[Floats, Floats, float]:
    """Vectors of unit length, codes along them, and the share of the variance that they explain together.

    What adds (all but) nothing to any row, such as a cluster's centre in the origin or a part that no row has, is zero, and so
    are its codes.
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
