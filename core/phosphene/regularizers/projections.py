"""Projections: changes of a pixel image after each step, outside the gradient.

They act on the parameters of the pixel parameterizations, which are the image itself. `phosphene.render` raises for other
parameterizations, whose coefficients they would change instead of the image.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import expand
from phosphene.errors import InvalidParameter
from phosphene.kit.checks import integer, number, share
from phosphene.types import Array, Floats, Namespace, Size, Tree

__all__ = ["Ball", "Clip", "Projection", "blur", "clip", "decay", "gaussian_matrix"]

MID_GREY = 0.5

LARGEST_SIGMA = 1000.0
"""Largest standard deviation of a blur in pixels: the filter has eight of them."""

LONGEST_INTERVAL = 1_000_000_000
"""Most steps between two blurs, an integer that every framework takes."""


class Projection(abc.ABC):
    """A map from pixel images to pixel images, ``(N, H, W, C)``."""

    def constants(self, canvas: Size) -> Tree:
        """Return NumPy arrays that `__call__` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        """Return the projected images; `clock` ``(N,)`` is the number of steps of each image, including this one."""


@dataclass(frozen=True)
class Blur(Projection):
    sigma: float
    every: int

    def constants(self, canvas: Size) -> Tree:
        return gaussian_matrix(canvas[0], self.sigma), gaussian_matrix(canvas[1], self.sigma)

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        rows, columns = constants
        count, height, width, channels = images.shape
        tall = xp.reshape(xp.matmul(rows, xp.reshape(images, (count, height, width * channels))), images.shape)
        blurred = xp.matmul(columns, tall)
        return xp.where(expand(xp, clock % self.every == 0, images) > 0, blurred, images)


@dataclass(frozen=True)
class Decay(Projection):
    rate: float

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        return MID_GREY + (images - MID_GREY) * (1 - self.rate)


@dataclass(frozen=True)
class Clip(Projection):
    """Clip pixels to bounds."""

    low: float
    high: float

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        return xp.clip(images, self.low, self.high)


@dataclass(frozen=True)
class Ball(Projection):
    """Project each image onto a ball about zero, of the Euclidean ("l2") or the maximum norm ("linf")."""

    radius: float
    norm: str

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        if self.norm == "linf":
            return xp.clip(images, -self.radius, self.radius)
        length = xp.sqrt(xp.sum(xp.reshape(images * images, (images.shape[0], -1)), axis=1) + 1e-24)
        return images * expand(xp, xp.minimum(self.radius / length, xp.ones_like(length)), images)


def blur(sigma: float, every: int = 4) -> Projection:
    """Blur the image with a Gaussian after every `every`-th step (Yosinski et al. 2015).

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, above 0.
    every : int, default 4
        Number of steps from one blur to the next, at least 1.

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        If `sigma` or `every` is not positive.
    """
    return Blur(
        number("sigma", sigma, minimum=0.0, maximum=LARGEST_SIGMA, open_minimum=True, example=1.0),
        integer("every", every, minimum=1, maximum=LONGEST_INTERVAL),
    )


def decay(rate: float) -> Projection:
    """Move every pixel towards mid-grey by a fraction of the difference at each step (L2 decay; Yosinski et al. 2015).

    Parameters
    ----------
    rate : float
        Fraction of the difference, in [0, 1].

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        If `rate` is outside [0, 1].
    """
    return Decay(share("rate", rate, example=0.01))


def clip(low: float = 0.0, high: float = 1.0) -> Projection:
    """Clip every pixel to bounds.

    Parameters
    ----------
    low, high : float
        Bounds with ``0 <= low < high <= 1``.

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        If the bounds are not in that order.
    """
    low, high = number("low", low), number("high", high)
    if not 0 <= low < high <= 1:
        raise InvalidParameter(
            "low, high",
            allowed="bounds with 0 <= low < high <= 1",
            received=(low, high),
            fix="For example ph.regularizers.clip(0.0, 1.0).",
        )
    return Clip(low, high)


def gaussian_matrix(size: int, sigma: float) -> Floats:
    """Return the 1-D Gaussian filter as a matrix ``(size, size)``, truncated at four standard deviations.

    A product with it blurs all rows of an image at once on any framework. Borders are treated as in
    ``scipy.ndimage.gaussian_filter1d(mode="reflect")``.
    """
    radius = int(4.0 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    source = np.mod(np.arange(size)[:, None] + offsets[None, :], 2 * size)
    source = np.where(source >= size, 2 * size - 1 - source, source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), np.broadcast_to(kernel, source.shape))
    return matrix
