"""Noise, roll and colour jitter: transforms that are no affine map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phosphene.arrays import arange, expand
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.transforms.contract import Pointwise, Transform, pixels_of
from phosphene.types import Array, Namespace, Size, Tree

__all__ = ["colour", "noise", "roll"]


@dataclass(frozen=True)
class Noise(Pointwise):
    deviation: float
    final: float

    def constants(self, size: Size, channels: int) -> Tree:
        # One fixed tile, moved about: drawing noise for every pixel of every step on the host took longer than the network.
        tile = generator(0, "noise tile").standard_normal((size[0] * size[1], channels))
        return (tile,)

    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        shifts = np.stack([random.integers(0, side, steps) for side in size], axis=1).astype(np.int32)
        return shifts, (1.0 - 2.0 * random.integers(0, 2, steps)) * np.linspace(self.deviation, self.final, steps)

    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        shifts, amplitude = draws
        rows, columns = _rolled(xp, images, shifts)
        pattern = constants[0][rows[:, :, None] * images.shape[2] + columns[:, None, :]]
        return images + expand(xp, amplitude, images) * pattern


@dataclass(frozen=True)
class Roll(Pointwise):
    distance: int

    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        return (random.integers(-self.distance, self.distance + 1, (steps, 2)).astype(np.int32),)

    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        rows, columns = _rolled(xp, images, draws[0])
        number = arange(xp, images.shape[0], images)
        return images[number[:, None, None], rows[:, :, None], columns[:, None, :]]


@dataclass(frozen=True)
class Colour(Pointwise):
    gain: float
    shift: float
    channels: int = 3

    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        drawn = random.standard_normal((2, steps, self.channels))
        return np.exp(self.gain * drawn[0]), self.shift * drawn[1]

    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        if images.shape[-1] != self.channels:
            raise InvalidParameter(
                "channels", allowed=f"as many as the images have ({images.shape[-1]})", received=self.channels,
                fix=f"ph.colour(..., channels={images.shape[-1]})",
            )  # fmt: skip
        gain, shift = (xp.reshape(drawn, (-1, 1, 1, self.channels)) for drawn in draws)
        return 0.5 + (images - 0.5) * gain + shift


def _rolled(xp: Namespace, images: Array, shifts: Array) -> tuple[Array, Array]:
    """Rows ``(N, H)`` and columns ``(N, W)`` from which each image is read when it is rolled by `shifts` ``(N, 2)``."""
    _, height, width, _ = images.shape
    rows = (arange(xp, height, images)[None, :] + shifts[:, 0][:, None]) % height
    return rows, (arange(xp, width, images)[None, :] + shifts[:, 1][:, None]) % width


def noise(deviation: float, final: float | None = None) -> Transform:
    """Gaussian noise on every pixel (SmoothGrad's noise, in the loop; Smilkov et al. 2017).

    Parameters
    ----------
    deviation : float
        Standard deviation, in units of the image's range of 1; at least 0.
    final : float, optional
        That of the last step, to which it falls or rises evenly; the same when absent.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When one of them is negative.
    """
    end = deviation if final is None else final
    for name, value in (("deviation", deviation), ("final", end)):
        if not 0 <= value < float("inf"):
            raise InvalidParameter(name, allowed="a number of at least 0", received=value, fix="Use 0.02 to 0.1.")
    return Noise(float(deviation), float(end))


def roll(pixels: int) -> Transform:
    """Shift by whole pixels along each axis; what leaves at one side comes in at the other.

    Parameters
    ----------
    pixels : int
        Greatest distance, at least 0.

    Returns
    -------
    Transform
    """
    return Roll(pixels_of("pixels", pixels))


def colour(gain: float, shift: float, channels: int = 3) -> Transform:
    """Each colour channel on its own: contrast times ``exp(N(0, gain^2))`` about mid-grey, and a shift of ``N(0, shift^2)``.

    Parameters
    ----------
    gain, shift : float
        Standard deviations, at least 0.
    channels : int, default 3
        Of the images.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        When a deviation is negative.
    """
    for name, value in (("gain", gain), ("shift", shift)):
        if not 0 <= value < float("inf"):
            raise InvalidParameter(name, allowed="a number of at least 0", received=value, fix="Use 0.1 to 0.5.")
    return Colour(float(gain), float(shift), pixels_of("channels", channels))
