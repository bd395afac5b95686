"""How alike two layers are over the same images: centred kernel alignment of all of it, and which channel is which.

Activations come in blocks of images and leave sums behind: no sum grows with the number of images.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.types import Floats

__all__ = ["LEAST", "Agreement", "Correlation", "centred_gram", "cka", "matched"]

LEAST = 4
"""Images below which the debiased estimator does not exist."""

FLAT = 1e-6
"""Deviation, relative to the largest value, below which a channel counts as constant: what is left of it is rounding."""


def cka(one: ArrayLike, other: ArrayLike) -> float:
    """Linear centred kernel alignment of two sets of features of the same images (Kornblith et al. 2019).

    It is 1 for features that differ by a rotation, a scale and an offset, and about 0 for independent ones: the Hilbert-Schmidt
    independence criterion in it is the unbiased estimator of Song et al. 2012, as Nguyen et al. 2021 have it. The plain one calls
    any two layers alike that have more channels than there are images.

    Parameters
    ----------
    one, other : array-like (N, A), (N, B)
        A vector an image, the same N >= 4 images in both.

    Returns
    -------
    float
        At most 1, and slightly below 0 by chance; NaN where one of the two is the same for all images.

    Raises
    ------
    InvalidParameter
        For other shapes.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < LEAST:
        raise InvalidParameter(
            "other", allowed=f"shapes (N, A) and (N, B) with one N of at least {LEAST}",
            received=said(f"shapes {first.shape} and {second.shape}"), fix="Rows are images, columns are channels.",
        )  # fmt: skip
    sums = Agreement.start(1, 1)
    sums.take(centred_gram(first)[None], centred_gram(second)[None])
    return float(sums.matrix()[0, 0])


def centred_gram(vectors: Floats) -> NDArray[np.float64]:
    """Products ``(n, n)`` of all pairs of vectors ``(n, C)``, centred such that their own chance agreement cancels.

    This is U-centring (Székely and Rizzo 2014): the inner product of two such matrices, over n (n - 3), is the estimator of Song
    et al. 2012.
    """
    count = len(vectors)
    mean = vectors.mean(axis=0)
    apart = vectors.astype(np.float64) - mean  # changes nothing in exact arithmetic, and much where the mean is large
    apart[:, apart.std(axis=0) <= FLAT * np.abs(vectors).max(axis=0)] = 0.0
    gram: NDArray[np.float64] = apart @ apart.T
    np.fill_diagonal(gram, 0.0)
    rows = gram.sum(axis=0) / (count - 2)
    gram += gram.sum() / ((count - 1) * (count - 2)) - rows[:, None] - rows[None]
    np.fill_diagonal(gram, 0.0)
    return gram


@dataclass
class Agreement:
    """Sums from which the alignment of each layer of one network with each of another follows.

    The estimator is unbiased in each block, and so is its mean over blocks (Nguyen et al. 2021): the alignment over very many
    images takes the memory of one block.
    """

    cross: NDArray[np.float64]
    one: NDArray[np.float64]
    other: NDArray[np.float64]

    @staticmethod
    def start(layers: int, others: int) -> Agreement:
        """Nothing yet."""
        return Agreement(np.zeros((layers, others)), np.zeros(layers), np.zeros(others))

    def take(self, one: Floats, other: Floats) -> None:
        """A block: centred products ``(layers, n, n)`` and ``(others, n, n)`` of the same n images."""
        count = one.shape[1]
        a, b = one.reshape(len(one), -1), other.reshape(len(other), -1)
        # Over n (n - 3) for the estimate, times n for the weight of the block.
        self.cross += a @ b.T / (count - 3)
        self.one += np.square(a).sum(axis=1) / (count - 3)
        self.other += np.square(b).sum(axis=1) / (count - 3)

    def matrix(self) -> NDArray[np.float64]:
        """Alignment ``(layers, others)``; NaN for a layer that is the same for all images."""
        scale = np.sqrt(np.outer(self.one, self.other))
        result: NDArray[np.float64] = np.divide(self.cross, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        return np.minimum(result, 1.0)


@dataclass
class Correlation:
    """Sums from which the correlation over images of every channel of a layer with every one of another follows."""

    count: int = 0
    origin: tuple[Any, Any] = (0.0, 0.0)
    sums: tuple[Any, Any] = (0.0, 0.0)
    squares: tuple[Any, Any] = (0.0, 0.0)
    products: Any = 0.0
    largest: tuple[Any, Any] = (0.0, 0.0)

    def take(self, one: Floats, other: Floats) -> None:
        """A block: vectors ``(n, A)`` and ``(n, B)`` of the same n images."""
        if self.count == 0:  # sums about zero would lose the digits of a channel that varies little about a large mean
            self.origin = one.mean(axis=0), other.mean(axis=0)
        a, b = one - self.origin[0], other - self.origin[1]
        self.count += len(one)
        self.sums = self.sums[0] + a.sum(axis=0), self.sums[1] + b.sum(axis=0)
        self.squares = self.squares[0] + np.square(a).sum(axis=0), self.squares[1] + np.square(b).sum(axis=0)
        self.products = self.products + a.T @ b
        self.largest = (
            np.maximum(self.largest[0], np.abs(one).max(axis=0)),
            np.maximum(self.largest[1], np.abs(other).max(axis=0)),
        )

    def matrix(self) -> NDArray[np.float64]:
        """Pearson correlation ``(A, B)``; 0 for a channel that is the same for all images."""
        means = [part / self.count for part in self.sums]
        scales = []
        for squares, mean, largest in zip(self.squares, means, self.largest, strict=True):
            deviation = np.sqrt(np.maximum(squares / self.count - np.square(mean), 0.0))
            scales.append(np.where(deviation > FLAT * largest, deviation, np.inf))
        covariance = self.products / self.count - np.outer(*means)
        result: NDArray[np.float64] = np.clip(covariance / np.outer(*scales), -1.0, 1.0)
        return result


def matched(correlation: Floats) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Channels of two layers as pairs, one to one, such that their correlations sum to the most (Li et al. 2016).

    Parameters
    ----------
    correlation : (A, B)
        Of each channel of a layer with each of another.

    Returns
    -------
    pairs : (M, 2) int
        A channel of each, strongest correlation first; what correlates with nothing has no pair.
    values : (M,)
        Their correlations, above 0.

    Raises
    ------
    MissingDependency
        When SciPy, which comes with scikit-learn, is not installed.
    """
    try:
        optimize = importlib.import_module("scipy.optimize")
    except ImportError as error:
        raise MissingDependency("scikit-learn", "embed") from error
    rows, columns = optimize.linear_sum_assignment(correlation, maximize=True)
    values = correlation[rows, columns]
    order = [index for index in np.argsort(-values, kind="stable") if values[index] > 0]
    pairs = np.stack([rows[order], columns[order]], axis=1).astype(np.int64)
    return pairs, np.asarray(values[order], np.float64)
