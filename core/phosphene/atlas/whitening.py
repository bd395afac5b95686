"""The second step of an atlas: directions made equally strong, by the second moment of the activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["Moments", "Whitening", "second_moment"]

CONSTANT = 1e-10
"""Least part of the second moment that must be variance: below it, it is rounding of single precision."""


@dataclass(frozen=True)
class Moments:
    """Sums over vectors; those of two parts of the data add up to those of both.

    Attributes
    ----------
    count : int
        Vectors seen.
    total : (C,) float64
        Their sum.
    products : (C, C) float64
        Sum of their outer products.
    """

    count: int
    total: Floats
    products: Floats

    @staticmethod
    def none(channels: int) -> Moments:
        """Those of no vectors."""
        return Moments(0, np.zeros(channels), np.zeros((channels, channels)))

    def add(self, vectors: NDArray[np.floating]) -> Moments:
        """With vectors ``(N, C)`` counted in."""
        rows = np.asarray(vectors, np.float64)
        return Moments(self.count + len(rows), self.total + rows.sum(axis=0), self.products + rows.T @ rows)

    def merge(self, other: Moments) -> Moments:
        """Those of both parts together."""
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    def whitening(self, ridge: float = 1e-2, *, layer: str = "") -> Whitening:
        """The whitening that these moments ask for.

        Parameters
        ----------
        ridge : float, default 1e-2
            Added to every eigenvalue, as a part of their mean: directions that hardly occur are not blown up without bound.
        layer : str, optional
            For messages.

        Returns
        -------
        Whitening

        Raises
        ------
        InvalidParameter
            For no vectors, for a layer that gives the same activation everywhere, and for a negative ridge.
        """
        if not ridge >= 0:
            raise InvalidParameter(
                "ridge", allowed="a number of at least 0", received=ridge, fix="0.01 is a good start."
            )
        name = f"of {layer!r}" if layer else "of this layer"
        if self.count < 2:
            raise InvalidParameter(
                "vectors", allowed="at least 2 activations", received=said(f"{self.count} {name}"), fix="Collect more images."
            )  # fmt: skip
        mean = self.total / self.count
        moment = self.products / self.count
        size = float(np.trace(moment))
        if not size - float(mean @ mean) > CONSTANT * size:
            raise InvalidParameter(
                "layer", allowed="a layer whose activations differ",
                received=said(f"{layer or 'one'}, whose activation is the same at all {self.count:,} points"),
                fix="It is dead or saturated, so there is nothing to map: choose another layer. ph.diagnose finds the cause.",
            )  # fmt: skip
        values, axes = np.linalg.eigh(moment)
        values = np.maximum(values, 0.0)  # rounding makes some a little negative
        lifted = values + ridge * values.mean()
        return Whitening(axes, values, lifted, float(ridge))


@dataclass(frozen=True)
class Whitening:
    """``x -> x M^(-1/2)``, with M the uncentred second moment of the activations (Carter et al. 2019) and a ridge.

    The symmetric root is taken, so that a whitened channel is still the one nearest to the channel it came from (Kessy, Lewin
    and Strimmer 2018). The inner product of whitened vectors is ``x M^(-1) y``, whichever root is taken.

    Attributes
    ----------
    axes : (C, C)
        Eigenvectors, as columns.
    values : (C,)
        Eigenvalues of the second moment, ascending.
    lifted : (C,)
        With the ridge.
    ridge : float
        As a part of their mean.
    """

    axes: Floats
    values: Floats
    lifted: Floats
    ridge: float

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue as they are used, with the ridge; infinite where a direction never occurs."""
        return _ratio(self.lifted)

    @property
    def raw_condition(self) -> float:
        """The same without the ridge."""
        return _ratio(self.values)

    def whiten(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(..., C) -> (..., C)``; the second moment of what it was made from becomes the identity, but for the ridge."""
        largest = float(self.lifted[-1])
        # A direction that never occurs, without a ridge, has no scale: it is left out, as by a pseudoinverse.
        usable = self.lifted > np.finfo(np.float64).eps * len(self.lifted) * largest
        root = np.where(usable, 1 / np.sqrt(np.where(usable, self.lifted, 1.0)), 0.0)
        return self._apply(vectors, root)

    def unwhiten(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """The inverse of `whiten`."""
        return self._apply(vectors, np.sqrt(self.lifted))

    def _apply(self, vectors: NDArray[np.floating], scale: Floats) -> NDArray[np.float32]:
        matrix = (self.axes * scale) @ self.axes.T
        found: NDArray[np.float32] = (np.asarray(vectors, np.float64) @ matrix).astype(np.float32)
        return found


def second_moment(shards: Iterable[NDArray[np.floating]]) -> Moments:
    """Moments of arrays of vectors ``(N, C)``, one after another; only one is held at a time.

    Raises
    ------
    InvalidParameter
        When there is none.
    """
    found: Moments | None = None
    for vectors in shards:
        found = (Moments.none(vectors.shape[1]) if found is None else found).add(vectors)
    if found is None:
        raise InvalidParameter("shards", allowed="at least one array of vectors", received=said("none"), fix="")
    return found


def _ratio(values: Floats) -> float:
    return float(values[-1] / values[0]) if values[0] > 0 else float("inf")
