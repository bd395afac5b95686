"""Does a picture tell which of two real patches excites its unit more? A judge who sees nothing else answers many such pairs.

The task is that of Borowski et al. (2021) and Zimmermann et al. (2021), with a machine as the judge (Zimmermann et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator
from phosphene.types import Floats

__all__ = ["Pairs", "answered", "pairs_of", "specificity"]

STRONG, WEAK = 0.9, 0.5
"""One patch of a pair is among the tenth that excites the unit most, the other in the lower half."""

FEWEST = 4
"""Pictures of other units without which nothing is said of how specific one is."""


@dataclass(frozen=True)
class Pairs:
    """Questions about U units: each of Q pairs of images, once strong, once weak; no image is in two pairs of a unit.

    Attributes
    ----------
    strong, weak : tuple of (Q,) int
        A unit each: numbers of images. Empty where a unit tells too few apart.
    reference : (U,) int
        The image that excites each unit most, which is in no pair.
    """

    strong: tuple[NDArray[np.int64], ...]
    weak: tuple[NDArray[np.int64], ...]
    reference: NDArray[np.int64]


def pairs_of(natural: Floats, *, most: int = 100, seed: int = 0) -> Pairs:
    """Pairs of images for each unit, drawn by what the unit gives for them.

    Parameters
    ----------
    natural : (U, N)
        Values of U units on N images.
    most : int, default 100
        Pairs a unit, at most; there are no more than a tenth of the images.
    seed : int, default 0

    Returns
    -------
    Pairs
    """
    strong, weak, reference = [], [], []
    for row, values in enumerate(natural):
        rng = generator(seed, "pairs", str(row))
        order = np.argsort(values, kind="stable")
        reference.append(int(order[-1]))
        least, middle = np.quantile(values, STRONG), np.quantile(values, WEAK)
        # A unit that is silent on most images still has a tenth that excites it more than the rest, or is asked nothing.
        above = np.flatnonzero((values >= least) & (values > middle) & (np.arange(len(values)) != order[-1]))
        below = np.flatnonzero(values <= middle)
        count = min(most, len(above), len(below))
        strong.append(rng.permutation(above)[:count])
        weak.append(rng.permutation(below)[:count])
    return Pairs(tuple(strong), tuple(weak), np.asarray(reference, np.int64))


def answered(pairs: Pairs, distances: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pairs a judge answers rightly from the pictures: the patch nearer to the picture is taken for the strong one.

    Parameters
    ----------
    pairs : Pairs
    distances : (U, N)
        By the judge, of one picture a unit from the images that the pairs are of.

    Returns
    -------
    (numpy.ndarray (U,), numpy.ndarray (U,))
        Right ones, and how many were asked. A tie is wrong.
    """
    right = [_right(pairs, row, distances[row : row + 1])[0] for row in range(len(distances))]
    asked = [len(strong) for strong in pairs.strong]
    return np.asarray(right, np.int64), np.asarray(asked, np.int64)


def specificity(
    pairs: Pairs, distances: Floats, beside: Sequence[Sequence[int]], others: Mapping[int, Floats]
) -> Floats:
    """Share of other units' pictures that tell fewer of a unit's pairs apart than its own picture does; a tie counts half.

    Where units answer to real images much alike, as those of random weights do, any picture predicts them all: it tells of the
    layer, not of the unit.

    Parameters
    ----------
    pairs : Pairs
    distances : (U, N)
        As of `answered`.
    beside : sequence of sequence of int
        For each unit, the others of its layer among the pictures.
    others : mapping of int to (K, N)
        Distances of pictures of further units of its layer, by number of the unit.

    Returns
    -------
    numpy.ndarray (U,)
        NaN where nothing is asked, or there are fewer than four others.
    """
    found = np.full(len(distances), np.nan)
    for row in range(len(distances)):
        rows = distances[list(beside[row])]
        if row in others:
            rows = np.concatenate([rows, others[row]])
        if len(rows) < FEWEST or not len(pairs.strong[row]):
            continue
        own, right = _right(pairs, row, distances[row : row + 1])[0], _right(pairs, row, rows)
        found[row] = float((right < own).mean() + 0.5 * (right == own).mean())
    return found


def _right(pairs: Pairs, row: int, distances: Floats) -> NDArray[np.int64]:
    """How many pairs of a unit are told apart by each row of distances ``(K, N)``."""
    right: NDArray[np.int64] = (distances[:, pairs.strong[row]] < distances[:, pairs.weak[row]]).sum(axis=1)
    return right
