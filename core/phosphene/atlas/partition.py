"""Splitting of cells that mix directions: the mean of dissimilar activations resembles none of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.checks import integer
from phosphene.types import Floats

__all__ = ["agreement", "directions", "spherical_kmeans", "split"]

ROUNDS = 30
TRIES = 3


def directions(vectors: NDArray[np.floating]) -> Floats:
    """Vectors ``(N, C)`` scaled to unit length; zeros stay zeros."""
    rows = np.asarray(vectors, np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Floats = rows / np.where(length > 0, length, 1.0)
    return found


def agreement(units: Floats) -> float:
    """Mean cosine of each direction to the mean of the *others*: 0 by chance, 1 if all are equal.

    If a direction counted towards its own mean, small sets would agree by construction, and every split would look like a gain.

    Parameters
    ----------
    units : (n, C)
        Unit vectors, n at least 2.
    """
    others = units.sum(axis=0) - units
    length = np.linalg.norm(others, axis=1)
    return float((np.einsum("nc,nc->n", units, others) / np.where(length > 0, length, 1.0)).mean())


def spherical_kmeans(units: Floats, parts: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Spherical k-means: cluster directions by the cosine to the cluster mean (Dhillon and Modha 2001).

    Parameters
    ----------
    units : (n, C)
        Unit vectors.
    parts : int
        Number of clusters, at most n.
    random : numpy.random.Generator
        Draws the initial centres by k-means++ (Arthur and Vassilvitskii 2007). The best of three initialisations is returned.

    Returns
    -------
    numpy.ndarray (n,)
        Cluster of each direction, 0 to ``parts - 1``, numbered by size, largest first.

    Raises
    ------
    InvalidParameter
        For fewer than 1 or more than n parts.
    """
    integer("parts", parts, minimum=1, maximum=len(units))
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
    """Split the members of a cell into parts that agree in direction.

    A cell is split if the agreement of its members is below `below`, into the smallest number of parts (two to `most`) whose
    members agree. Each further part must raise the agreement, averaged over members, by `gain`.

    Parameters
    ----------
    units : (n, C)
        Unit vectors.
    random : numpy.random.Generator
    most : int, default 4
        Maximum number of parts.
    least : int, default 5
        Minimum number of members of a part.
    below : float, default 0.8
        Agreement (see `agreement`) from which on a cell or part is not split further; two directions at right angles have 0.7.
    gain : float, default 0.05
        Minimum increase of the agreement per further part.

    Returns
    -------
    numpy.ndarray (n,)
        Part of each member, numbered by size, largest first; all 0 if the cell is not split.
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
    """Initial centres by k-means++: each is drawn in proportion to its distance from the nearest centre so far."""
    chosen = [int(random.integers(len(units)))]
    far = np.full(len(units), np.inf)
    for _ in range(parts - 1):
        far = np.minimum(far, np.maximum(1.0 - units @ units[chosen[-1]], 0.0))
        total = far.sum()
        even = not total > 1e-12
        chosen.append(int(random.choice(len(units), p=None if even else far / total)))
    return units[chosen]
