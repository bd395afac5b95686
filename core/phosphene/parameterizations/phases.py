"""Images by the phases of their spectrum, whose magnitudes are those of natural images and stay so (MaCo)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import sigmoid
from phosphene.errors import InvalidParameter
from phosphene.parameterizations.contract import Canvas, Parameterization
from phosphene.parameterizations.spectral import inverse_transform
from phosphene.parameterizations.statistics import ImageStatistics, amplitudes, colour_axes
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
        magnitude[0, 0] = 0.0  # the mean, which is taken off anyway
        colours = colour_axes(self.statistics, channels)
        # The deviation of all pixels together follows from the magnitudes alone (Parseval), whatever the phases.
        twice = np.full(magnitude.shape, 2.0)
        twice[:, 0] = 1.0
        if width % 2 == 0:
            twice[:, -1] = 1.0
        deviation = np.sqrt((twice * magnitude**2).sum()) / (height * width)
        return magnitude * (self.contrast / deviation), colours

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        magnitude, colours = constants
        spectrum = magnitude * xp.cos(parameters) + 1j * (magnitude * xp.sin(parameters))
        return xp.moveaxis(sigmoid(xp, inverse_transform(xp, spectrum, colours, canvas)), 1, -1)


def maco(decay: float = 1.0, contrast: float = 1.0, *, statistics: ImageStatistics | None = None) -> Parameterization:
    """Phases alone, under a magnitude spectrum that is fixed to that of natural images (MaCo; Fel et al. 2023).

    What makes a picture artificial is mostly energy at frequencies where photographs have little: here it cannot be put there.
    The gradient that reaches each pixel is summed up over the steps: where there is little, the unit does not look
    (`Renders.opacity`).

    Parameters
    ----------
    decay : float, default 1
        Power of the frequency by which magnitudes fall.
    contrast : float, default 1
        Deviation of the values before the sigmoid, above 0.
    statistics : ImageStatistics, optional
        Colours and spectrum of images of your own, in place of ImageNet's colours and of `decay`.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When `decay` is negative, or `contrast` not positive.
    """
    if not 0 <= decay < math.inf:
        raise InvalidParameter(
            "decay", allowed="a number of at least 0", received=decay, fix="Natural images have about 1."
        )
    if not 0 < contrast < math.inf:
        raise InvalidParameter("contrast", allowed="a positive number", received=contrast, fix="The usual one is 1.")
    return Phases(float(decay), float(contrast), statistics)
