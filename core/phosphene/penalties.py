"""Penalties: terms that the ascent subtracts, on the decoded image.

Each is a mean over pixels, so that a weight means the same at every size: the usual sums are these times ``H W C``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

from phosphene.arrays import smooth_abs
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Namespace

__all__ = ["Penalty", "l1", "l2", "total_variation"]

EPSILON = 1e-4
"""Smoothing of the isotropic total variation. With 1e-8 the two frameworks' gradients part (measured)."""


class Penalty(abc.ABC):
    """A cost of an image, ``(N, H, W, C) -> (N,)``, subtracted from the objective."""

    @abc.abstractmethod
    def __call__(self, xp: Namespace, images: Array) -> Array:
        """The weighted cost of each image, ``(N,)``."""


@dataclass(frozen=True)
class TotalVariation(Penalty):
    weight: float
    kind: str

    def __call__(self, xp: Namespace, images: Array) -> Array:
        if self.kind == "isotropic":
            down = (images[:, 1:, :, :] - images[:, :-1, :, :])[:, :, :-1, :]
            right = (images[:, :, 1:, :] - images[:, :, :-1, :])[:, :-1, :, :]
            length = xp.sqrt(xp.square(down) + xp.square(right) + EPSILON)
            return self.weight * (_mean(xp, length) - EPSILON**0.5)
        down = images[:, 1:, :, :] - images[:, :-1, :, :]
        right = images[:, :, 1:, :] - images[:, :, :-1, :]
        return self.weight * (_mean(xp, smooth_abs(xp, down)) + _mean(xp, smooth_abs(xp, right)))


@dataclass(frozen=True)
class Norm(Penalty):
    weight: float
    order: int
    centre: float = 0.5

    def __call__(self, xp: Namespace, images: Array) -> Array:
        away = images - self.centre
        return self.weight * _mean(xp, away * away if self.order == 2 else smooth_abs(xp, away))


def total_variation(weight: float, kind: str = "isotropic") -> Penalty:
    """Total variation of the image (Rudin, Osher and Fatemi 1992; Mahendran and Vedaldi 2015).

    Parameters
    ----------
    weight : float
        At least 0; the cost is a mean over pixels and channels of values in [0, 1].
    kind : "isotropic" or "anisotropic", default "isotropic"
        Length of the gradient, smoothed at zero by sqrt(1e-4), or the sum of absolute differences along both axes.

    Returns
    -------
    Penalty

    Raises
    ------
    InvalidParameter
        When `weight` is negative or `kind` unknown.
    """
    if kind not in ("isotropic", "anisotropic"):
        raise InvalidParameter("kind", allowed="'isotropic' or 'anisotropic'", received=kind, fix="Choose one of them.")
    return TotalVariation(_weight(weight), kind)


def l1(weight: float) -> Penalty:
    """Mean absolute distance of pixels from mid-grey.

    Parameters
    ----------
    weight : float
        At least 0.

    Returns
    -------
    Penalty
    """
    return Norm(_weight(weight), 1)


def l2(weight: float) -> Penalty:
    """Mean squared distance of pixels from mid-grey (Simonyan et al. 2014).

    Parameters
    ----------
    weight : float
        At least 0.

    Returns
    -------
    Penalty
    """
    return Norm(_weight(weight), 2)


def _weight(weight: float) -> float:
    if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
        raise InvalidParameter(
            "weight",
            allowed="a number of at least 0",
            received=weight,
            fix="A penalty is subtracted; to add, use an objective.",
        )
    return float(weight)


def _mean(xp: Namespace, values: Array) -> Array:
    return xp.mean(values, axis=tuple(range(1, values.ndim)))
