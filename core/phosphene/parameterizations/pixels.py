"""Images by their pixels: the image itself, and a bounded change of a given one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter, said
from phosphene.parameterizations.contract import Canvas, Parameterization, spread_of
from phosphene.projections import Ball, Clip, Projection
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
                "size", allowed=f"that of the image to be changed, {self.image.shape}", received=said(f"{canvas}"),
                fix=f"size={self.image.shape[:2]}, or resize the image first.",
            )  # fmt: skip
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
    """The image itself, pixel by pixel, held to [0, 1] after each step (Erhan et al. 2009).

    Parameters
    ----------
    spread : float, default 0.01
        Standard deviation of the initial noise about mid-grey; half its range where it is uniform, at most 0.5.
    uniform : bool, default False
        Whether the noise is uniform rather than Gaussian.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When `spread` is negative, or leaves [0, 1] where the noise is uniform.
    """
    if uniform and not 0 <= spread <= 0.5:
        raise InvalidParameter("spread", allowed="0 to 0.5 with uniform=True", received=spread, fix="0.5 is all of it.")
    return Pixel(spread_of(spread), bool(uniform))


def perturbation(image: ArrayLike, radius: float, norm: str = "l2") -> Parameterization:
    """A given image and a change of it that stays within a ball (Szegedy et al. 2014; Engstrom et al. 2019).

    Parameters
    ----------
    image : array-like (H, W, C)
        In [0, 1]; its size is that of the pictures.
    radius : float
        Of the ball, above 0: the Euclidean norm of the whole change, or its largest component, in units of the range of 1.
    norm : "l2" or "linf", default "l2"

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        For an image that is none, a radius that is not positive, or an unknown norm.
    """
    given = np.asarray(image, np.float64)
    if given.ndim != 3 or not np.all((given >= 0) & (given <= 1)):
        raise InvalidParameter(
            "image", allowed="one image (H, W, C) in [0, 1]", received=said(f"shape {given.shape}"),
            fix="Divide bytes by 255.",
        )  # fmt: skip
    if norm not in ("l2", "linf"):
        raise InvalidParameter("norm", allowed="'l2' or 'linf'", received=norm, fix="Choose one of them.")
    if not isinstance(radius, (int, float)) or not 0 < radius < float("inf"):
        raise InvalidParameter(
            "radius", allowed="a positive number", received=radius, fix="2.0 with 'l2', 8 / 255 with 'linf'."
        )
    return Perturbation(given, float(radius), norm)
