"""The MaCo parameterization: phases of a spectrum whose magnitudes are fixed to those of natural images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import complex_of, sigmoid
from phosphene.kit.checks import number
from phosphene.parameterizations.contract import Canvas, Parameterization
from phosphene.parameterizations.spectral import inverse_transform
from phosphene.parameterizations.statistics import ImageStatistics, amplitudes, colour_axes, given_statistics
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["maco"]


@dataclass(frozen=True)
class Phases(Parameterization):
    power: float
    contrast: float
    statistics: ImageStatistics | None = None
    transparent = True

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        height, width, channels = canvas
        return random.uniform(-math.pi, math.pi, (channels, height, width // 2 + 1))

    def constants(self, canvas: Canvas) -> Tree:
        height, width, channels = canvas
        magnitude = amplitudes(self.statistics, height, width, self.power)
        magnitude[0, 0] = 0.0  # no mean
        colours = colour_axes(self.statistics, channels)
        # The standard deviation over all pixels depends only on the magnitudes (Parseval's theorem).
        twice = np.full(magnitude.shape, 2.0)
        twice[:, 0] = 1.0
        if width % 2 == 0:
            twice[:, -1] = 1.0
        deviation = np.sqrt((twice * magnitude**2).sum()) / (height * width)
        return magnitude * (self.contrast / deviation), colours

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        magnitude, colours = constants
        spectrum = complex_of(xp, magnitude * xp.cos(parameters), magnitude * xp.sin(parameters))
        return xp.moveaxis(sigmoid(xp, inverse_transform(xp, spectrum, colours, canvas)), 1, -1)


def maco(decay: float = 1.0, contrast: float = 1.0, *, statistics: ImageStatistics | None = None) -> Parameterization:
    """Phases under a magnitude spectrum that is fixed to that of natural images (MaCo; Fel et al. 2023).

    Pictures look artificial mostly because of energy at frequencies at which photographs have little, which a fixed spectrum
    excludes. The absolute gradient of each pixel is accumulated over the steps; it is small where the unit is not sensitive to
    the image (`Renders.opacity`).

    Parameters
    ----------
    decay : float, default 1
        Power of the frequency by which magnitudes decay, at least 0.
    contrast : float, default 1
        Standard deviation of the values before the sigmoid, above 0.
    statistics : ImageStatistics, optional
        Colours and spectrum of your own images, in place of ImageNet's colours and of `decay`.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        If `decay` is negative, or `contrast` is not positive.
    """
    return Phases(
        number("decay", decay, minimum=0.0),
        number("contrast", contrast, minimum=0.0, open_minimum=True),
        given_statistics(statistics),
    )
