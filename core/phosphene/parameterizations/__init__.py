"""What the ascent moves, and how it becomes an image: pixels, Fourier coefficients, phases, a bounded change of an image."""

from __future__ import annotations

from phosphene.parameterizations.contract import Canvas, Parameterization, parameterization
from phosphene.parameterizations.phases import maco
from phosphene.parameterizations.pixels import perturbation, pixel
from phosphene.parameterizations.spectral import fourier, fourier_basis
from phosphene.parameterizations.statistics import COLOUR, ImageStatistics, image_statistics

__all__ = [
    "COLOUR",
    "Canvas",
    "ImageStatistics",
    "Parameterization",
    "fourier",
    "fourier_basis",
    "image_statistics",
    "maco",
    "parameterization",
    "perturbation",
    "pixel",
]
