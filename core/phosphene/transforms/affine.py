"""Pad, jitter, scale, rotate, flip, crop and resize: a run of them composes into one map and costs one resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.transforms.contract import Affine, Transform, pixels_of
from phosphene.types import Floats, Size

__all__ = ["Pad", "Resize", "crop", "flip", "jitter", "pad", "resize", "rotate", "scale"]


@dataclass(frozen=True)
class Pad(Affine):
    """A border, which is no map: it makes room."""

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
        # What is cut out stays inside the image.
        centre = np.clip(centre, -(1 - side[:, None]) / 2, (1 - side[:, None]) / 2)
        result = _identities(steps)
        result[:, 0, 0] = result[:, 1, 1] = side
        result[:, :2, 2] = centre * (self.source[1], self.source[0])
        return result


@dataclass(frozen=True)
class Resize(Affine):
    """From `source`, whatever that is, to `size`; nothing is drawn."""

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
    """Mid-grey border, so that what is shifted or turned out of the image leaves no edge.

    Parameters
    ----------
    pixels : int
        Width on each side, at least 0.

    Returns
    -------
    Transform
    """
    return Pad(pixels_of("pixels", pixels))


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
    return Jitter(pixels_of("pixels", pixels))


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


def crop(first: float, last: float | None = None, *, deviation: float = 0.05, spread: float = 0.15) -> Transform:
    """A part of the image, enlarged to the whole: a square of a drawn side about a drawn centre (MaCo; Fel et al. 2023).

    Parameters
    ----------
    first, last : float
        Mean side at the first and at the last step, as a part of the image in (0, 1]; the same when `last` is absent.
    deviation : float, default 0.05
        Of the side, which is held within 0.05 and 1.
    spread : float, default 0.15
        Standard deviation of the centre about the image's, as a part of the image; the square stays inside.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When a side is not in (0, 1], or a deviation negative.
    """
    end = first if last is None else last
    if not (0 < first <= 1 and 0 < end <= 1):
        raise InvalidParameter(
            "first, last", allowed="parts of the image in (0, 1]", received=(first, end), fix="ph.crop(0.5, 0.05)"
        )
    if not (0 <= deviation < float("inf") and 0 <= spread < float("inf")):
        raise InvalidParameter(
            "deviation, spread", allowed="numbers of at least 0", received=(deviation, spread), fix="0 draws nothing."
        )
    return Crop(float(first), float(end), float(deviation), float(spread))


def resize(size: int | Size) -> Transform:
    """Bring the image to another size, whatever the size of the picture: the last of a sequence of affine transforms.

    Parameters
    ----------
    size : int or (int, int)
        Height and width in pixels, usually the network's own.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When a side is below 2.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(isinstance(side, bool) or not isinstance(side, int) or side < 2 for side in pair):
        raise InvalidParameter(
            "size", allowed="pixels: an integer of at least 2, or (height, width)", received=size, fix="ph.resize(224)"
        )
    return Resize((pair[0], pair[1]))


def _identities(steps: int) -> Floats:
    return np.tile(np.eye(3), (steps, 1, 1))


def _sample(random: np.random.Generator, values: tuple[float, ...], continuous: bool, steps: int) -> Floats:
    if continuous:
        return random.uniform(values[0], values[1], steps)
    return np.asarray(values)[random.integers(0, len(values), steps)]
