"""Transforms that are not affine maps: noise, roll and colour jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phosphene.arrays import arange, expand
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.kit.checks import LARGEST_SIDE, MOST_CHANNELS, integer, number
from phosphene.transforms.kinds import Pointwise, Transform
from phosphene.types import Array, Namespace, Size, Tree

__all__ = ["colour", "noise", "roll"]


@dataclass(frozen=True)
class Noise(Pointwise):
    deviation: float
    final: float

    def constants(self, size: Size, channels: int) -> Tree:
        # One fixed tile, shifted at each step: noise for every pixel of every step took longer to draw than the network to run.
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
                "channels",
                allowed=f"{images.shape[-1]}, as many as the images have",
                received=self.channels,
                fix=f"Write ph.transforms.colour(..., channels={images.shape[-1]}).",
            )
        gain, shift = (xp.reshape(drawn, (-1, 1, 1, self.channels)) for drawn in draws)
        return 0.5 + (images - 0.5) * gain + shift


def _rolled(xp: Namespace, images: Array, shifts: Array) -> tuple[Array, Array]:
    """Source rows ``(N, H)`` and columns ``(N, W)`` of images that are rolled by `shifts` ``(N, 2)``."""
    _, height, width, _ = images.shape
    rows = (arange(xp, height, images)[None, :] + shifts[:, 0][:, None]) % height
    return rows, (arange(xp, width, images)[None, :] + shifts[:, 1][:, None]) % width


def noise(deviation: float, final: float | None = None) -> Transform:
    """Add Gaussian noise to every pixel at every step (as in SmoothGrad; Smilkov et al. 2017).

    Parameters
    ----------
    deviation : float
        Standard deviation for images in [0, 1]; at least 0.
    final : float, optional
        Standard deviation at the last step, reached linearly (default: `deviation`).

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a standard deviation is negative.
    """
    first = number("deviation", deviation, minimum=0.0, example=0.05)
    return Noise(first, first if final is None else number("final", final, minimum=0.0, example=0.02))


def roll(pixels: int) -> Transform:
    """Shift by whole pixels along each axis, cyclically.

    Parameters
    ----------
    pixels : int
        Largest shift in pixels, at least 0.

    Returns
    -------
    Transform
    """
    return Roll(integer("pixels", pixels, limit=LARGEST_SIDE))


def colour(gain: float, shift: float, channels: int = 3) -> Transform:
    """Change contrast and brightness of each channel: scale by ``exp(N(0, gain^2))`` about mid-grey, shift by ``N(0, shift^2)``.

    Parameters
    ----------
    gain, shift : float
        Standard deviations, at least 0.
    channels : int, default 3
        Number of channels of the images.

    Returns
    -------
    Transform

    Raises
    ------
    InvalidParameter
        If a standard deviation is negative.
    """
    return Colour(
        number("gain", gain, minimum=0.0, example=0.1),
        number("shift", shift, minimum=0.0, example=0.1),
        integer("channels", channels, minimum=1, limit=MOST_CHANNELS),
    )
