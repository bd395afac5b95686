"""The prediction task: a judge who sees only the picture tells which of two real patches activates its unit more.

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
"""One patch of a pair is among the tenth that activates the unit most, the other in the lower half."""

FEWEST = 4
"""Smallest number of other units' pictures for which specificity is computed."""


@dataclass(frozen=True)
class Pairs:
    """Questions about U units: Q pairs of a strongly and a weakly activating image each; no image is in two pairs of a unit.

    Attributes
    ----------
    strong, weak : tuple of (Q,) int
        Indices of images, per unit. Empty for a unit with too few different responses.
    reference : (U,) int
        The image that activates each unit most; it is in no pair.
    """

    strong: tuple[NDArray[np.int64], ...]
    weak: tuple[NDArray[np.int64], ...]
    reference: NDArray[np.int64]


def pairs_of(natural: Floats, *, most: int = 100, seed: int = 0) -> Pairs:
    """Draw pairs of images for each unit by its values on them.

    Parameters
    ----------
    natural : (U, N)
        Values of U units on N images.
    most : int, default 100
        Largest number of pairs per unit; there are at most a tenth as many as images.
    seed : int, default 0
        Random seed.

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
        # Images of equal value must not form a pair: a unit that is zero on most images has fewer pairs, or none.
        above = np.flatnonzero((values >= least) & (values > middle) & (np.arange(len(values)) != order[-1]))
        below = np.flatnonzero(values <= middle)
        count = min(most, len(above), len(below))
        strong.append(rng.permutation(above)[:count])
        weak.append(rng.permutation(below)[:count])
    return Pairs(tuple(strong), tuple(weak), np.asarray(reference, np.int64))


def answered(pairs: Pairs, distances: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pairs that a judge answers correctly: the patch nearer to the picture is taken for the stronger one.

    Parameters
    ----------
    pairs : Pairs
    distances : (U, N)
        Distances of one picture per unit from the images, by the judge.

    Returns
    -------
    correct, asked : numpy.ndarray (U,)
        Number of correct answers and of questions. A tie counts as wrong.
    """
    right = [_right(pairs, row, distances[row : row + 1])[0] for row in range(len(distances))]
    asked = [len(strong) for strong in pairs.strong]
    return np.asarray(right, np.int64), np.asarray(asked, np.int64)


def specificity(
    pairs: Pairs, distances: Floats, beside: Sequence[Sequence[int]], others: Mapping[int, Floats]
) -> Floats:
    """Share of other units' pictures from which fewer of a unit's pairs are answered correctly; a tie counts half.

    When all units respond to real images alike, as those of random weights do, any picture predicts all of them: it tells
    something about the layer, not about the unit.

    Parameters
    ----------
    pairs : Pairs
    distances : (U, N)
        As in `answered`.
    beside : sequence of sequence of int
        For each unit, the rows of the other units of its layer.
    others : mapping of int to (K, N)
        Distances of the pictures of further units of its layer, by row of the unit.

    Returns
    -------
    numpy.ndarray (U,)
        NaN for units without questions, or with fewer than four other units.
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
    """Number of pairs of a unit that each row of distances ``(K, N)`` answers correctly."""
    right: NDArray[np.int64] = (distances[:, pairs.strong[row]] < distances[:, pairs.weak[row]]).sum(axis=1)
    return right
