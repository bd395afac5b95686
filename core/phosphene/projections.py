"""Projections: what is done to a pixel image after each step, outside the gradient.

They act on the parameters of the pixel parameterization, which are the image itself; on any other parameterization they would
blur coefficients, so `phosphene.render` refuses them there.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import expand
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Floats, Namespace, Size, Tree

__all__ = ["Ball", "Clip", "Projection", "blur", "clip", "decay", "gaussian_matrix"]

MID_GREY = 0.5


class Projection(abc.ABC):
    """A map of pixel images to pixel images, ``(N, H, W, C)``."""

    def constants(self, canvas: Size) -> Tree:
        """NumPy arrays that `__call__` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        """The projected images; `clock` ``(N,)`` counts the steps each image has made, this one included."""


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
    """The nearest value within bounds, pixel by pixel."""

    low: float
    high: float

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        return xp.clip(images, self.low, self.high)


@dataclass(frozen=True)
class Ball(Projection):
    """The nearest point of a ball about zero: of the Euclidean norm of each image ("l2"), or of its largest component ("linf")."""

    radius: float
    norm: str

    def __call__(self, xp: Namespace, images: Array, clock: Array, constants: Tree) -> Array:
        if self.norm == "linf":
            return xp.clip(images, -self.radius, self.radius)
        length = xp.sqrt(xp.sum(xp.reshape(images * images, (images.shape[0], -1)), axis=1) + 1e-24)
        return images * expand(xp, xp.minimum(self.radius / length, xp.ones_like(length)), images)


def blur(sigma: float, every: int = 4) -> Projection:
    """Gaussian blur of the image after every `every`-th step (Yosinski et al. 2015).

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, above 0.
    every : int, default 4
        Steps between two blurs.

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        When `sigma` or `every` is not positive.
    """
    if not 0 < sigma < float("inf"):
        raise InvalidParameter("sigma", allowed="a positive number of pixels", received=sigma, fix="Use 0.5 to 2.")
    if not isinstance(every, int) or every < 1:
        raise InvalidParameter("every", allowed="an integer of at least 1", received=every, fix="Use every=4.")
    return Blur(float(sigma), every)


def decay(rate: float) -> Projection:
    """Pull every pixel towards mid-grey by a fraction each step (L2 decay, Yosinski et al. 2015).

    Parameters
    ----------
    rate : float
        Fraction of the distance, from 0 to 1.

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        When `rate` is outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise InvalidParameter("rate", allowed="a fraction from 0 to 1", received=rate, fix="Use about 0.01.")
    return Decay(float(rate))


def clip(low: float = 0.0, high: float = 1.0) -> Projection:
    """Hold every pixel within bounds.

    Parameters
    ----------
    low, high : float
        Bounds within [0, 1], low below high.

    Returns
    -------
    Projection

    Raises
    ------
    InvalidParameter
        When the bounds are not in order within [0, 1].
    """
    if not 0 <= low < high <= 1:
        raise InvalidParameter(
            "low, high", allowed="0 <= low < high <= 1", received=(low, high), fix="Images are in [0, 1]."
        )
    return Clip(float(low), float(high))


def gaussian_matrix(size: int, sigma: float) -> Floats:
    """The 1-D Gaussian filter as a matrix ``(size, size)``: truncated at four sigma, the border mirrored about its edge.

    As a product it blurs every row of an image at once, on any framework, with the border handled like
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
