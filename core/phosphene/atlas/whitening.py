"""Step 2 of an atlas: whiten the activations by their second moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import number
from phosphene.kit.records import from_arrays
from phosphene.types import Floats

__all__ = ["Moments", "Whitening", "second_moment"]

CONSTANT = 1e-10
"""Minimum share of the variance in the second moment: anything below is rounding in single precision."""


@dataclass(frozen=True)
class Moments:
    """Sums over vectors, which add up over parts of the data.

    Attributes
    ----------
    count : int
        Number of vectors.
    total : (C,) float64
        Sum of the vectors.
    products : (C, C) float64
        Sum of the outer products of the vectors.
    """

    count: int
    total: Annotated[Floats, "C"]
    products: Annotated[Floats, "C C"]

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Moments:
        """The moments from the arrays of the step; ValueError for others."""
        return from_arrays(Moments, arrays)

    @staticmethod
    def none(channels: int) -> Moments:
        """Moments of an empty set of vectors."""
        return Moments(0, np.zeros(channels), np.zeros((channels, channels)))

    def add(self, vectors: NDArray[np.floating]) -> Moments:
        """Moments that include further vectors ``(N, C)``."""
        rows = np.asarray(vectors, np.float64)
        return Moments(self.count + len(rows), self.total + rows.sum(axis=0), self.products + rows.T @ rows)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together."""
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    def whitening(self, ridge: float = 1e-2, *, layer: str = "") -> Whitening:
        """The whitening by these moments.

        Parameters
        ----------
        ridge : float, default 0.01
            Added to every eigenvalue, as a fraction of their mean, to bound the amplification of rare directions.
        layer : str, optional
            Name of the layer, for messages.

        Returns
        -------
        Whitening

        Raises
        ------
        InvalidParameter
            For fewer than 2 vectors, for a layer whose activation is constant, and for a negative ridge.
        """
        number("ridge", ridge, minimum=0, example=0.01)
        name = f"of {layer!r}" if layer else "of this layer"
        if self.count < 2:
            raise InvalidParameter(
                "vectors",
                allowed="at least 2 activations",
                received=said(f"{self.count} {name}"),
                fix="Collect more images.",
            )
        mean = self.total / self.count
        moment = self.products / self.count
        size = float(np.trace(moment))
        if not size - float(mean @ mean) > CONSTANT * size:
            raise InvalidParameter(
                "layer",
                allowed="a layer whose activations vary",
                received=said(
                    f"{repr(layer) if layer else 'one'} with the same activation at all {self.count:,} points"
                ),
                fix="Choose another layer: this one is dead or saturated. ph.diagnose finds the cause.",
            )
        values, axes = np.linalg.eigh(moment)
        values = np.maximum(values, 0.0)  # rounding can make them slightly negative
        lifted = values + ridge * values.mean()
        return Whitening(axes, values, lifted, float(ridge))


@dataclass(frozen=True)
class Whitening:
    """``x -> x M^(-1/2)``, where M is the uncentred second moment of the activations (Carter et al. 2019) plus a ridge.

    The symmetric root (ZCA) keeps each whitened channel as close as possible to the original one (Kessy, Lewin and Strimmer
    2018). The inner product of whitened vectors, ``x M^(-1) y``, does not depend on the choice of the root.

    Attributes
    ----------
    axes : (C, C)
        Eigenvectors, as columns.
    values : (C,)
        Eigenvalues of the second moment, ascending.
    lifted : (C,)
        Eigenvalues with the ridge added.
    ridge : float
        As a fraction of their mean.
    """

    axes: Floats
    values: Floats
    lifted: Floats
    ridge: float

    @property
    def condition(self) -> float:
        """Condition number with the ridge: largest over smallest eigenvalue; infinite if a direction never occurs."""
        return _ratio(self.lifted)

    @property
    def raw_condition(self) -> float:
        """Condition number without the ridge."""
        return _ratio(self.values)

    def whiten(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Whiten vectors, ``(..., C) -> (..., C)``: their second moment becomes the identity, up to the ridge."""
        largest = float(self.lifted[-1])
        # Without a ridge, a direction that never occurs has no scale; it is dropped, as by a pseudoinverse.
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
    """Accumulate the moments of arrays of vectors ``(N, C)``, one array at a time.

    Raises
    ------
    InvalidParameter
        When there are no arrays.
    """
    found: Moments | None = None
    for vectors in shards:
        found = (Moments.none(vectors.shape[1]) if found is None else found).add(vectors)
    if found is None:
        raise InvalidParameter(
            "shards", allowed="at least one array of vectors", received=said("none"), fix="Collect the points first."
        )
    return found


def _ratio(values: Floats) -> float:
    return float(values[-1] / values[0]) if values[0] > 0 else float("inf")
