"""Transforms between the image and the network, drawn anew at every step: they make a picture robust to being moved.

Pad, jitter, scale, rotate and flip are affine; a run of them composes into one map and costs one resampling. Others (noise)
stand in the sequence on their own. All draws are made on the host, a generator a target.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import arange, expand
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Floats, Namespace, Size, Tree

__all__ = ["Affine", "Pointwise", "Transform", "flip", "jitter", "noise", "pad", "rotate", "scale"]


class Transform(abc.ABC):  # noqa: B024 (its two kinds, below, are what is subclassed)
    """A random map of images to images."""


class Affine(Transform):
    """A transform that is an affine map about the centre of the image."""

    growth: int = 0
    """Pixels by which the image grows on each side."""

    kind: str = "shift"
    """The cheapest of `phosphene.warps.KINDS` that covers its draws."""

    @abc.abstractmethod
    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        """Maps ``(steps, 3, 3)`` from output to input, in pixels about the centre, x before y."""


class Pointwise(Transform):
    """A transform that is no affine map, with draws of its own."""

    def constants(self, size: Size, channels: int) -> Tree:
        """NumPy arrays that `apply` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        """NumPy arrays with a leading axis of `steps`."""

    @abc.abstractmethod
    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        """Transformed images; `draws` have a leading axis of N here."""


@dataclass(frozen=True)
class Pad(Affine):
    growth: int

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        return _identities(steps)


@dataclass(frozen=True)
class Jitter(Affine):
    distance: int

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        result = _identities(steps)
        result[:, :2, 2] = random.integers(-self.distance, self.distance + 1, (steps, 2))
        return result


@dataclass(frozen=True)
class Scale(Affine):
    values: tuple[float, ...]
    continuous: bool
    kind = "separable"

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        result = _identities(steps)
        result[:, 0, 0] = result[:, 1, 1] = 1.0 / _sample(random, self.values, self.continuous, steps)
        return result


@dataclass(frozen=True)
class Rotate(Affine):
    degrees: tuple[float, ...]
    continuous: bool
    kind = "general"

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        angle = np.deg2rad(_sample(random, self.degrees, self.continuous, steps))
        result = _identities(steps)
        result[:, 0, 0] = result[:, 1, 1] = np.cos(angle)
        result[:, 0, 1], result[:, 1, 0] = -np.sin(angle), np.sin(angle)
        return result


@dataclass(frozen=True)
class Flip(Affine):
    kind = "separable"

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        result = _identities(steps)
        result[:, 0, 0] = 1.0 - 2.0 * random.integers(0, 2, steps)
        return result


@dataclass(frozen=True)
class Noise(Pointwise):
    deviation: float

    def constants(self, size: Size, channels: int) -> Tree:
        # One fixed tile, moved about: drawing noise for every pixel of every step on the host took longer than the network.
        tile = generator(0, "noise tile").standard_normal((size[0] * size[1], channels))
        return (tile,)

    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        shifts = np.stack([random.integers(0, side, steps) for side in size], axis=1).astype(np.int32)
        return shifts, 1.0 - 2.0 * random.integers(0, 2, steps)

    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        shifts, sign = draws
        _, height, width, _ = images.shape
        rows = (arange(xp, height, images)[None, :] + shifts[:, 0][:, None]) % height
        columns = (arange(xp, width, images)[None, :] + shifts[:, 1][:, None]) % width
        pattern = constants[0][rows[:, :, None] * width + columns[:, None, :]]
        return images + self.deviation * expand(xp, sign, images) * pattern


def pad(pixels: int) -> Transform:
    """Mid-grey border, so that what is shifted or turned out of the image leaves no edge.

    Parameters
    ----------
    pixels : int
        Width on each side, at least 0.

    Returns
    -------
    Transform
    """
    return Pad(_pixels("pixels", pixels))


def jitter(pixels: int) -> Transform:
    """Shift by whole pixels, drawn uniformly from ``-pixels .. pixels`` along each axis (Mordvintsev et al. 2015).

    Parameters
    ----------
    pixels : int
        Greatest distance, at least 0.

    Returns
    -------
    Transform
    """
    return Jitter(_pixels("pixels", pixels))


def scale(low: float | Sequence[float], high: float | None = None) -> Transform:
    """Enlarge about the centre by a factor drawn from ``low .. high``, or from a list.

    Parameters
    ----------
    low : float or sequence of float
        Least factor, or all factors.
    high : float, optional
        Greatest factor.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When a factor is not positive, or low is above high.
    """
    values = (
        (float(low), float(low if high is None else high)) if isinstance(low, (int, float)) else tuple(map(float, low))
    )
    if not values or min(values) <= 0 or (isinstance(low, (int, float)) and values[0] > values[-1]):
        raise InvalidParameter(
            "scale", allowed="positive factors, low before high", received=values, fix="ph.scale(0.9, 1.1)"
        )
    return Scale(values, isinstance(low, (int, float)))


def rotate(degrees: float | Sequence[float]) -> Transform:
    """Turn about the centre by an angle drawn from ``-degrees .. degrees``, or from a list.

    Parameters
    ----------
    degrees : float or sequence of float
        Greatest angle, at least 0, or all angles.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When a single angle is negative, or the list is empty.
    """
    if isinstance(degrees, (int, float)):
        if not 0 <= degrees <= 180:
            raise InvalidParameter(
                "degrees", allowed="0 to 180", received=degrees, fix="The angle is drawn from both sides."
            )
        return Rotate((-float(degrees), float(degrees)), True)
    values = tuple(map(float, degrees))
    if not values:
        raise InvalidParameter("degrees", allowed="at least one angle", received=values, fix="ph.rotate(10)")
    return Rotate(values, False)


def flip() -> Transform:
    """Mirror left and right, every other step on average.

    Returns
    -------
    Transform
    """
    return Flip()


def noise(deviation: float) -> Transform:
    """Gaussian noise on every pixel (SmoothGrad's noise, in the loop; Smilkov et al. 2017).

    Parameters
    ----------
    deviation : float
        Standard deviation, in units of the image's range of 1; at least 0.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When `deviation` is negative.
    """
    if not 0 <= deviation < float("inf"):
        raise InvalidParameter(
            "deviation", allowed="a number of at least 0", received=deviation, fix="Use 0.02 to 0.1."
        )
    return Noise(float(deviation))


def _identities(steps: int) -> Floats:
    return np.tile(np.eye(3), (steps, 1, 1))


def _sample(random: np.random.Generator, values: tuple[float, ...], continuous: bool, steps: int) -> Floats:
    if continuous:
        return random.uniform(values[0], values[1], steps)
    return np.asarray(values)[random.integers(0, len(values), steps)]


def _pixels(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidParameter(name, allowed="an integer of at least 0", received=value, fix="For example 8.")
    return value
