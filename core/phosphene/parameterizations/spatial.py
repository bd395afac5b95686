"""Pixel parameterizations: the image itself, and a bounded perturbation of a given image."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import boolean, choice, floats, number
from phosphene.parameterizations.contract import Canvas, Parameterization
from phosphene.regularizers.projections import Ball, Clip, Projection
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["perturbation", "pixel"]


@dataclass(frozen=True)
class Pixel(Parameterization):
    spread: float
    uniform: bool = False
    pixelwise = True

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        if self.uniform:
            return random.uniform(0.5 - self.spread, 0.5 + self.spread, canvas)
        return np.clip(0.5 + self.spread * random.standard_normal(canvas), 0.0, 1.0)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        return parameters

    def encode(self, image: Floats) -> Floats:
        return np.asarray(image, np.float64)

    def bounds(self) -> tuple[Projection, ...]:
        return (Clip(0.0, 1.0),)


@dataclass(frozen=True, eq=False)
class Perturbation(Parameterization):
    image: Floats
    radius: float
    norm: str

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        if self.image.shape != canvas:
            raise InvalidParameter(
                "size",
                allowed=f"the size of the image to be perturbed, {self.image.shape}",
                received=said(f"{canvas}"),
                fix=f"Write size={self.image.shape[:2]}, or resize the image first.",
            )
        return np.zeros(canvas)

    def constants(self, canvas: Canvas) -> Tree:
        return (self.image,)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        return xp.clip(constants[0] + parameters, 0.0, 1.0)

    def encode(self, image: Floats) -> Floats:
        return np.asarray(image - self.image, np.float64)

    def bounds(self) -> tuple[Projection, ...]:
        return (Ball(self.radius, self.norm),)

    def __repr__(self) -> str:
        digest = hashlib.blake2b(np.ascontiguousarray(self.image).tobytes(), digest_size=8).hexdigest()
        return f"Perturbation(image={digest}, radius={self.radius}, norm={self.norm!r})"


def pixel(spread: float = 0.01, *, uniform: bool = False) -> Parameterization:
    """The pixels of the image, clipped to [0, 1] after each step (Erhan et al. 2009).

    Parameters
    ----------
    spread : float, default 0.01
        Standard deviation of the initial noise about mid-grey, at least 0; with `uniform`, half the noise's range, at most 0.5.
    uniform : bool, default False
        Whether the noise is uniform rather than Gaussian.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        If `spread` is negative, or larger than 0.5 with `uniform`.
    """
    uniform = boolean("uniform", uniform)
    largest = 0.5 if uniform else math.inf
    return Pixel(number("spread", spread, minimum=0.0, maximum=largest, example=0.01), uniform)


def perturbation(image: ArrayLike, radius: float, norm: str = "l2") -> Parameterization:
    """A perturbation of a given image, bounded by a norm (Szegedy et al. 2014; Engstrom et al. 2019).

    Parameters
    ----------
    image : array-like (H, W, C)
        Values in [0, 1]; the pictures have its size.
    radius : float
        Largest norm of the perturbation, above 0, for images in [0, 1].
    norm : "l2" or "linf", default "l2"
        The Euclidean norm of the whole perturbation, or its largest absolute value.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        If the image, the radius or the norm is invalid.
    """
    given = floats("image", image)
    if given.ndim != 3 or not np.all((given >= 0) & (given <= 1)):
        raise InvalidParameter(
            "image",
            allowed="one image (H, W, C) with values in [0, 1]",
            received=said(f"shape {given.shape}, values {_range_of(given)}"),
            fix="Divide bytes by 255, and pass one image without a batch axis.",
        )
    choice("norm", norm, ("l2", "linf"))
    example = 2.0 if norm == "l2" else 8 / 255
    return Perturbation(given, number("radius", radius, minimum=0.0, open_minimum=True, example=example), norm)


def _range_of(values: Floats) -> str:
    return f"{values.min():g} to {values.max():g}" if values.size else "none"
