"""Affine transforms: pad, jitter, scale, rotate, flip, crop and resize; consecutive ones compose into one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.kit.checks import LARGEST_SIDE, integer, number, numbers, pair_of, share
from phosphene.transforms.kinds import Affine, Transform
from phosphene.types import Floats, Size

__all__ = ["Pad", "Resize", "crop", "flip", "jitter", "pad", "resize", "rotate", "scale"]

LEAST_FACTOR = 1e-9
"""Smallest factor of a scale, and the reciprocal of the largest: beyond, one pixel covers any image, or the image one pixel."""


@dataclass(frozen=True)
class Pad(Affine):
    """A border around the image; the map itself is the identity."""

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
class Crop(Affine):
    first: float
    last: float
    deviation: float
    spread: float
    source: Size = (1, 1)
    kind = "separable"

    def at(self, source: Size) -> Affine:
        return replace(self, source=source)

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        side = np.linspace(self.first, self.last, steps) + self.deviation * random.standard_normal(steps)
        side = np.clip(side, 0.05, 1.0)
        centre = self.spread * random.standard_normal((steps, 2))
        # The square stays inside the image.
        centre = np.clip(centre, -(1 - side[:, None]) / 2, (1 - side[:, None]) / 2)
        result = _identities(steps)
        result[:, 0, 0] = result[:, 1, 1] = side
        result[:, :2, 2] = centre * (self.source[1], self.source[0])
        return result


@dataclass(frozen=True)
class Resize(Affine):
    """Resize from any size `source` to `size`; not random."""

    size: Size
    source: Size | None = None
    kind = "separable"

    def at(self, source: Size) -> Affine:
        return replace(self, source=source)

    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        height, width = self.source or self.size
        result = _identities(steps)
        result[:, 0, 0], result[:, 1, 1] = width / self.size[1], height / self.size[0]
        return result


def pad(pixels: int) -> Transform:
    """Add a mid-grey border, so that later shifts and rotations leave no edges.

    Parameters
    ----------
    pixels : int
        Width of the border on each side in pixels, at least 0.

    Returns
    -------
    Transform
    """
    return Pad(integer("pixels", pixels, limit=LARGEST_SIDE))


def jitter(pixels: int) -> Transform:
    """Shift by whole pixels, uniformly from ``-pixels .. pixels`` along each axis (Mordvintsev et al. 2015).

    Parameters
    ----------
    pixels : int
        Largest shift in pixels, at least 0.

    Returns
    -------
    Transform
    """
    return Jitter(integer("pixels", pixels, limit=LARGEST_SIDE))


def scale(low: float | Sequence[float], high: float | None = None) -> Transform:
    """Scale about the centre by a random factor, from ``low .. high`` or from a list.

    Parameters
    ----------
    low : float or sequence of float
        Smallest factor, above 0, or the list of all factors.
    high : float, optional
        Largest factor (default: `low`).

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a factor is not positive, or `low` is larger than `high`.
    """
    single = isinstance(low, (int, float, np.integer, np.floating))
    values = numbers("low", low, fix="For example ph.transforms.scale(0.9, 1.1).")
    if single:
        values = (values[0], values[0] if high is None else number("high", high))
    elif high is not None:
        raise InvalidParameter("high", allowed="None with a list of factors", received=high, fix="Leave it out.")
    if (
        not values
        or not LEAST_FACTOR <= min(values) <= max(values) <= 1 / LEAST_FACTOR
        or (single and values[0] > values[-1])
    ):
        raise InvalidParameter(
            "scale",
            allowed=f"positive factors with low <= high, from {LEAST_FACTOR:g} to {1 / LEAST_FACTOR:g}",
            received=values,
            fix="For example ph.transforms.scale(0.9, 1.1).",
        )
    return Scale(values, single)


def rotate(degrees: float | Sequence[float]) -> Transform:
    """Rotate about the centre by a random angle, from ``-degrees .. degrees`` or from a list.

    Parameters
    ----------
    degrees : float or sequence of float
        Largest angle, from 0 to 180, or the list of all angles, in degrees.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a single angle is outside [0, 180], or the list is empty.
    """
    if isinstance(degrees, (int, float, np.integer, np.floating)):
        angle = number("degrees", degrees, minimum=0.0, maximum=180.0, example=10.0)
        return Rotate((-angle, angle), True)
    values = numbers("degrees", degrees, fix="For example ph.transforms.rotate(10).")
    if not values:
        raise InvalidParameter(
            "degrees", allowed="at least one angle", received=values, fix="For example ph.transforms.rotate(10)."
        )
    return Rotate(values, False)


def flip() -> Transform:
    """Mirror left and right with probability one half.

    Returns
    -------
    Transform
    """
    return Flip()


def crop(first: float, last: float | None = None, *, deviation: float = 0.05, spread: float = 0.15) -> Transform:
    """Crop a random square and enlarge it to the size of the image (MaCo; Fel et al. 2023).

    Parameters
    ----------
    first : float
        Mean side of the square at the first step, as a fraction of the image in (0, 1].
    last : float, optional
        Mean side at the last step (default: `first`).
    deviation : float, default 0.05
        Standard deviation of the side, which is clipped to [0.05, 1].
    spread : float, default 0.15
        Standard deviation of the square's centre about the image's, as a fraction of the image; the square stays inside.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a side is not in (0, 1], or a standard deviation is negative.
    """
    return Crop(
        share("first", first, zero=False, example=0.5),
        share("last", first if last is None else last, zero=False, example=0.05),
        number("deviation", deviation, minimum=0.0, example=0.05),
        number("spread", spread, minimum=0.0, example=0.15),
    )


def resize(size: int | Size) -> Transform:
    """Resize the image to a fixed size, whatever its size before; the last of a sequence of affine transforms.

    Parameters
    ----------
    size : int or (int, int)
        Height and width in pixels, usually the network's native size.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a side is smaller than 2.
    """
    return Resize(pair_of("size", size, minimum=2))


def _identities(steps: int) -> Floats:
    return np.tile(np.eye(3), (steps, 1, 1))


def _sample(random: np.random.Generator, values: tuple[float, ...], continuous: bool, steps: int) -> Floats:
    if continuous:
        return random.uniform(values[0], values[1], steps)
    return np.asarray(values)[random.integers(0, len(values), steps)]
