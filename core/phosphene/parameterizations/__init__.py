"""Parameterizations of images: pixels, Fourier coefficients, phases, and bounded perturbations of a given image."""

from __future__ import annotations

from phosphene.parameterizations.contract import Parameterization, parameterization
from phosphene.parameterizations.phases import maco
from phosphene.parameterizations.spatial import perturbation, pixel
from phosphene.parameterizations.spectral import fourier
from phosphene.parameterizations.statistics import COLOUR, ImageStatistics, image_statistics

__all__ = [
    "COLOUR",
    "ImageStatistics",
    "Parameterization",
    "fourier",
    "image_statistics",
    "maco",
    "parameterization",
    "perturbation",
    "pixel",
]
