"""Cells that mix directions, taken apart: the mean of things that point apart is like none of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.types import Floats

__all__ = ["agreement", "directions", "spherical_kmeans", "split"]

ROUNDS = 30
TRIES = 3


def directions(vectors: NDArray[np.floating]) -> Floats:
    """Vectors ``(N, C)`` at length one; zeros stay zeros."""
    rows = np.asarray(vectors, np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Floats = rows / np.where(length > 0, length, 1.0)
    return found


def agreement(units: Floats) -> float:
    """Mean cosine of each direction to the mean of the *others*: 0 for chance, 1 where all are the same.

    With itself counted in, few directions agree with their mean even where they have nothing in common, and the fewer the better:
    every split would look like a gain.

    Parameters
    ----------
    units : (n, C)
        Of length one, n at least 2.
    """
    others = units.sum(axis=0) - units
    length = np.linalg.norm(others, axis=1)
    return float((np.einsum("nc,nc->n", units, others) / np.where(length > 0, length, 1.0)).mean())


def spherical_kmeans(units: Floats, parts: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Directions in `parts` clusters, each around the direction of its mean (Dhillon and Modha 2001).

    Parameters
    ----------
    units : (n, C)
        Of length one.
    parts : int
        At most n.
    random : numpy.random.Generator
        Of where the three tries begin: each centre is a direction that is far from those before it (Arthur and Vassilvitskii
        2007). The best of the tries is taken.

    Returns
    -------
    numpy.ndarray (n,)
        0 to ``parts - 1``, numbered by size, the largest first.
    """
    if not 1 <= parts <= len(units):
        raise InvalidParameter(
            "parts", allowed=f"1 to {len(units)}, as many as there are directions", received=parts, fix=""
        )
    best, best_score = np.zeros(len(units), np.int64), -np.inf
    for _ in range(TRIES):
        centres = _spread(units, parts, random)
        labels = np.full(len(units), -1)
        for _ in range(ROUNDS):
            before, labels = labels, (units @ centres.T).argmax(axis=1)
            if (labels == before).all():
                break
            sums = np.eye(parts)[labels].T @ units
            length = np.linalg.norm(sums, axis=1, keepdims=True)
            # An empty cluster keeps its centre.
            centres = np.where(length > 0, sums / np.where(length > 0, length, 1.0), centres)
        score = float((units @ centres.T).max(axis=1).sum())
        if score > best_score + 1e-12:
            best, best_score = labels, score
    order = np.argsort(-np.bincount(best, minlength=parts), kind="stable")
    return np.argsort(order)[best]


def split(
    units: Floats, random: np.random.Generator, *, most: int = 4, least: int = 5, below: float = 0.8, gain: float = 0.05
) -> NDArray[np.int64]:
    """Which part of its cell each direction belongs to; all 0 where the cell is of one kind.

    A cell is taken apart where its members agree less than `below`, into the fewest parts (two to `most`) in each of which they
    do. Each further part must raise the agreement, averaged over members, by `gain`.

    Parameters
    ----------
    units : (n, C)
        Directions of length one.
    random : numpy.random.Generator
    most : int, default 4
    least : int, default 5
        Members of the smallest part.
    below : float, default 0.8
        Agreement (see `agreement`) from which on a cell or part is of one kind; that of two directions at right angles is 0.7.
    gain : float, default 0.05

    Returns
    -------
    numpy.ndarray (n,)
        Numbered by size, the largest first.
    """
    labels = np.zeros(len(units), np.int64)
    if len(units) < 2 * max(2, least):
        return labels
    score = lowest = agreement(units)
    for parts in range(2, most + 1):
        if lowest >= below or len(units) < parts * least:
            break
        tried = spherical_kmeans(units, parts, random)
        sizes = np.bincount(tried, minlength=parts)
        if sizes.min() < max(2, least):
            continue
        each = np.array([agreement(units[tried == part]) for part in range(parts)])
        reached = float(each @ sizes) / len(units)
        if reached >= score + gain * (parts - 1 - labels.max()):
            labels, score, lowest = tried, reached, float(each.min())
    return labels


def _spread(units: Floats, parts: int, random: np.random.Generator) -> Floats:
    """Directions that are far from each other: the next is drawn by how far it is from the nearest so far."""
    chosen = [int(random.integers(len(units)))]
    far = np.full(len(units), np.inf)
    for _ in range(parts - 1):
        far = np.minimum(far, np.maximum(1.0 - units @ units[chosen[-1]], 0.0))
        total = far.sum()
        even = not total > 1e-12
        chosen.append(int(random.choice(len(units), p=None if even else far / total)))
    return units[chosen]
