"""Similarity of two layers over the same images: centred kernel alignment, and matching of channels by correlation.

Activations are processed in blocks of images; memory does not grow with the number of images.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.types import Floats

__all__ = ["LEAST", "Alignment", "Correlation", "centred_gram", "cka", "matched"]

LEAST = 4
"""Smallest number of images for which the debiased estimator is defined."""

FLAT = 1e-6
"""Standard deviation, relative to the largest value, below which a channel counts as constant up to rounding."""


def cka(one: ArrayLike, other: ArrayLike) -> float:
    """Linear centred kernel alignment of two sets of features of the same images (Kornblith et al. 2019).

    It is 1 for features that differ by a rotation, a scale and an offset, and about 0 for independent ones. The Hilbert-Schmidt
    independence criterion is estimated without bias (Song et al. 2012), as in Nguyen et al. 2021; the biased estimator is close
    to 1 for any two layers that have more channels than there are images.

    Parameters
    ----------
    one, other : array-like (N, A), (N, B)
        One vector per image, of the same N >= 4 images.

    Returns
    -------
    float
        At most 1; it may be slightly below 0 by chance. NaN when one of the two is the same for all images.

    Raises
    ------
    InvalidParameter
        For arrays of other shapes.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or len(first) < LEAST:
        raise InvalidParameter(
            "other",
            allowed=f"arrays of shapes (N, A) and (N, B) with the same N of at least {LEAST}",
            received=said(f"shapes {first.shape} and {second.shape}"),
            fix="Rows are images, columns are channels.",
        )
    sums = Alignment.zeros(1, 1)
    sums.update(centred_gram(first)[None], centred_gram(second)[None])
    return float(sums.matrix()[0, 0])


def centred_gram(vectors: Floats) -> NDArray[np.float64]:
    """U-centred Gram matrix ``(n, n)`` of vectors ``(n, C)`` (Székely and Rizzo 2014).

    The inner product of two such matrices, divided by n (n - 3), is the unbiased estimator of Song et al. 2012.
    """
    count = len(vectors)
    mean = vectors.mean(axis=0)
    centred = (
        vectors.astype(np.float64) - mean
    )  # redundant in exact arithmetic, but reduces rounding when the mean is large
    centred[:, centred.std(axis=0) <= FLAT * np.abs(vectors).max(axis=0)] = 0.0
    gram: NDArray[np.float64] = centred @ centred.T
    np.fill_diagonal(gram, 0.0)
    rows = gram.sum(axis=0) / (count - 2)
    gram += gram.sum() / ((count - 1) * (count - 2)) - rows[:, None] - rows[None]
    np.fill_diagonal(gram, 0.0)
    return gram


@dataclass
class Alignment:
    """Running centred kernel alignment of every layer of one network with every layer of another.

    The estimator is unbiased in each block, and so is its mean over blocks (minibatch CKA, Nguyen et al. 2021): memory is that
    of one block.
    """

    cross: NDArray[np.float64]
    one: NDArray[np.float64]
    other: NDArray[np.float64]

    @staticmethod
    def zeros(layers: int, others: int) -> Alignment:
        """Alignment of no images."""
        return Alignment(np.zeros((layers, others)), np.zeros(layers), np.zeros(others))

    def update(self, one: Floats, other: Floats) -> None:
        """Add a block: centred Gram matrices ``(layers, n, n)`` and ``(others, n, n)`` of the same n images."""
        count = one.shape[1]
        a, b = one.reshape(len(one), -1), other.reshape(len(other), -1)
        # Divided by n (n - 3) for the estimate, multiplied by n for the weight of the block.
        self.cross += a @ b.T / (count - 3)
        self.one += np.square(a).sum(axis=1) / (count - 3)
        self.other += np.square(b).sum(axis=1) / (count - 3)

    def matrix(self) -> NDArray[np.float64]:
        """Alignment ``(layers, others)``; NaN for a layer that is constant over images."""
        scale = np.sqrt(np.outer(self.one, self.other))
        result: NDArray[np.float64] = np.divide(self.cross, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        return np.minimum(result, 1.0)


@dataclass
class Correlation:
    """Running correlation over images of every channel of one layer with every channel of another."""

    count: int = 0
    origin: tuple[Any, Any] = (0.0, 0.0)
    sums: tuple[Any, Any] = (0.0, 0.0)
    squares: tuple[Any, Any] = (0.0, 0.0)
    products: Any = 0.0
    largest: tuple[Any, Any] = (0.0, 0.0)

    def update(self, one: Floats, other: Floats) -> None:
        """Add a block: vectors ``(n, A)`` and ``(n, B)`` of the same n images."""
        if (
            self.count == 0
        ):  # centring on the first block keeps precision for channels with a large mean and small variance
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
        """Pearson correlation ``(A, B)``; 0 for a channel that is constant over images."""
        means = [part / self.count for part in self.sums]
        scales = []
        for squares, mean, largest in zip(self.squares, means, self.largest, strict=True):
            deviation = np.sqrt(np.maximum(squares / self.count - np.square(mean), 0.0))
            scales.append(np.where(deviation > FLAT * largest, deviation, np.inf))
        covariance = self.products / self.count - np.outer(*means)
        result: NDArray[np.float64] = np.clip(covariance / np.outer(*scales), -1.0, 1.0)
        return result


def matched(correlation: Floats) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Match the channels of two layers one to one, such that the sum of their correlations is largest (Li et al. 2016).

    Parameters
    ----------
    correlation : (A, B)
        Correlation of every channel of one layer with every channel of the other.

    Returns
    -------
    pairs : (M, 2) int
        Matched channels, largest correlation first; channels without a positive correlation are left out.
    values : (M,)
        Correlations of the pairs, above 0.

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
