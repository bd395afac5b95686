"""Parameterizations: what the ascent moves, and how it becomes an image.

A parameterization is four small functions: initial parameters, constants computed once on the host, decoding, and whether the
parameters are the pixels themselves (so that projections may act on them). Decoded images are always in [0, 1].
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import sigmoid
from phosphene.errors import InvalidParameter
from phosphene.projections import Clip, Projection
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["COLOUR", "Parameterization", "fourier", "fourier_basis", "pixel"]

COLOUR = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the covariance of natural colours, rows R, G, B (ImageNet's, as published with lucid; Olah et al. 2017)."""

Canvas = tuple[int, int, int]


class Parameterization(abc.ABC):
    """A way to write an image as parameters."""

    pixelwise: bool = False
    """Whether the parameters are the image ``(N, H, W, C)`` itself."""

    @abc.abstractmethod
    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        """Initial parameters of one image, without a batch axis."""

    def constants(self, canvas: Canvas) -> Tree:
        """NumPy arrays that `decode` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        """Images ``(N, H, W, C)`` in [0, 1] from parameters ``(N, ...)``."""

    def bounds(self) -> tuple[Projection, ...]:
        """Projections that keep decoded images in [0, 1], where decoding alone does not."""
        return ()


@dataclass(frozen=True)
class Pixel(Parameterization):
    spread: float
    pixelwise = True

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        return np.clip(0.5 + self.spread * random.standard_normal(canvas), 0.0, 1.0)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        return parameters

    def bounds(self) -> tuple[Projection, ...]:
        return (Clip(0.0, 1.0),)


@dataclass(frozen=True)
class Fourier(Parameterization):
    power: float
    decorrelate: bool
    spread: float

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        # Real and imaginary parts (2, C, H, W // 2 + 1): whole planes, channel-first. Transforms run along the last axes, and
        # what is interleaved would have to be gathered before each of them.
        height, width, channels = canvas
        drawn = random.standard_normal((height, width // 2 + 1, channels, 2))
        return self.spread * np.ascontiguousarray(drawn.transpose(3, 2, 0, 1))

    def constants(self, canvas: Canvas) -> Tree:
        height, width, channels = canvas
        scale = fourier_basis(height, width, self.power)
        if self.decorrelate and channels == 3:
            return scale, COLOUR / np.linalg.norm(COLOUR, axis=0).max()
        return (scale,)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        height, width, channels = canvas
        scaled = parameters * constants[0]
        spectrum = scaled[:, 0, ...] + 1j * scaled[:, 1, ...]
        values = xp.fft.irfftn(spectrum, s=(height, width), axes=(2, 3))
        if len(constants) > 1:
            mixed = xp.matmul(constants[1], xp.reshape(values, (-1, channels, height * width)))
            values = xp.reshape(mixed, (-1, channels, height, width))
        return xp.moveaxis(sigmoid(xp, values), 1, -1)


def pixel(spread: float = 0.01) -> Parameterization:
    """The image itself, pixel by pixel, held to [0, 1] after each step (Erhan et al. 2009).

    Parameters
    ----------
    spread : float, default 0.01
        Standard deviation of the initial noise about mid-grey.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When `spread` is negative.
    """
    return Pixel(_spread(spread))


def fourier(decay: float = 1.0, decorrelate: bool = True, spread: float = 0.01) -> Parameterization:
    """Fourier coefficients scaled like natural images, in a decorrelated colour space (Olah et al. 2017).

    Parameters
    ----------
    decay : float, default 1
        Power of the frequency by which coefficients fall: 0 is white, 1 natural, more is smoother.
    decorrelate : bool, default True
        Whether colour axes are those of natural images; images that have not three channels never are.
    spread : float, default 0.01
        Standard deviation of the initial coefficients.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When `decay` or `spread` is negative.
    """
    if not 0 <= decay < math.inf:
        raise InvalidParameter(
            "decay", allowed="a number of at least 0", received=decay, fix="Natural images have about 1."
        )
    return Fourier(float(decay), bool(decorrelate), _spread(spread))


def fourier_basis(height: int, width: int, power: float) -> Floats:
    """Scale of each coefficient of a real 2-D transform, ``(H, W // 2 + 1)``: ``sqrt(HW) / max(f, 1 / max(H, W))^power / 4``.

    With f in cycles a pixel. The quarter, and the sigmoid after it, put the first steps of Adam at 0.05 into the range where
    the image answers.
    """
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.maximum(np.hypot(rows, columns), 1.0 / max(height, width))
    scale: Floats = math.sqrt(height * width) / frequency**power / 4.0
    return scale


def _spread(spread: float) -> float:
    if not 0 <= spread < math.inf:
        raise InvalidParameter(
            "spread", allowed="a number of at least 0", received=spread, fix="The usual one is 0.01."
        )
    return float(spread)
