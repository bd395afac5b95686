"""Penalties: costs of the decoded image, which are subtracted from the objective.

Each is a mean over pixels and channels, so that a weight suits every size; the usual sums are larger by a factor of ``H W C``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

from phosphene.arrays import smooth_abs
from phosphene.kit.checks import choice, number
from phosphene.types import Array, Namespace

__all__ = ["Penalty", "l1", "l2", "total_variation"]

EPSILON = 1e-4
"""Smoothing of the isotropic total variation. With 1e-8 the gradients of the two frameworks diverge (measured)."""


class Penalty(abc.ABC):
    """A cost of an image, ``(N, H, W, C) -> (N,)``, subtracted from the objective."""

    @abc.abstractmethod
    def __call__(self, xp: Namespace, images: Array) -> Array:
        """Return the weighted cost of each image, ``(N,)``."""


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
    """Penalize the total variation (Rudin, Osher and Fatemi 1992; Mahendran and Vedaldi 2015).

    Parameters
    ----------
    weight : float
        Weight of the penalty, at least 0. The cost is a mean over pixels and channels.
    kind : "isotropic" or "anisotropic", default "isotropic"
        The norm of the image's gradient, smoothed at zero by sqrt(1e-4), or the sum of the absolute differences along both
        axes.

    Returns
    -------
    Penalty

    Raises
    ------
    InvalidParameter
        If `weight` is negative or `kind` is unknown.
    """
    return TotalVariation(number("weight", weight, minimum=0.0), choice("kind", kind, ("isotropic", "anisotropic")))


def l1(weight: float) -> Penalty:
    """Penalize the mean absolute difference of pixels from mid-grey.

    Parameters
    ----------
    weight : float
        Weight of the penalty, at least 0.

    Returns
    -------
    Penalty
    """
    return Norm(number("weight", weight, minimum=0.0), 1)


def l2(weight: float) -> Penalty:
    """Penalize the mean squared difference of pixels from mid-grey (Simonyan et al. 2014).

    Parameters
    ----------
    weight : float
        Weight of the penalty, at least 0.

    Returns
    -------
    Penalty
    """
    return Norm(number("weight", weight, minimum=0.0), 2)


def _mean(xp: Namespace, values: Array) -> Array:
    return xp.mean(values, axis=tuple(range(1, values.ndim)))
