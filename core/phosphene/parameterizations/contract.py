"""The base class of parameterizations, and parameterizations made of two functions."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phosphene.errors import InvalidParameter, said
from phosphene.failures import function_failed
from phosphene.kit.checks import floats
from phosphene.regularizers.projections import Projection
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["Canvas", "Parameterization", "parameterization"]

Canvas = tuple[int, int, int]


class Parameterization(abc.ABC):
    """A mapping from parameters to images; decoded images are always in [0, 1]."""

    pixelwise: bool = False
    """Whether the parameters are the images ``(N, H, W, C)`` themselves, so that projections can act on them."""

    together: bool = False
    """Whether the pictures of a batch share parameters, so that all must be computed in one batch."""

    transparent: bool = False
    """Whether the gradients of each pixel are accumulated, as the picture's opacity."""

    @abc.abstractmethod
    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        """Return the initial parameters of one image, without a batch axis."""

    def constants(self, canvas: Canvas) -> Tree:
        """Return NumPy arrays that `decode` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        """Return images ``(N, H, W, C)`` in [0, 1] for parameters ``(N, ...)``."""

    def encode(self, image: Floats) -> Floats:
        """Return the parameters of a given image ``(H, W, C)``: the inverse of `decode`."""
        raise InvalidParameter(
            "start",
            allowed="None, since this parameterization cannot start from an image",
            received=self,
            fix="Use ph.parameterizations.pixel() or ph.parameterizations.fourier() to start from an image.",
        )

    def bounds(self) -> tuple[Projection, ...]:
        """Return projections that keep decoded images in [0, 1], if decoding alone does not."""
        return ()


@dataclass(frozen=True)
class Own(Parameterization):
    make: Callable[[np.random.Generator, Canvas], Floats]
    picture: Callable[[Namespace, Array, Canvas], Array]

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        fix = "It is called as initial(random, (H, W, C)) and returns an array of numbers, the parameters of one image."
        try:
            made = self.make(random, canvas)
        except Exception as error:
            raise function_failed("initial", self.make, error, fix) from error
        return floats("initial", made)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        fix = "It is called as decode(xp, parameters, (H, W, C)) and returns images (N, H, W, C)."
        try:
            images = xp.clip(self.picture(xp, parameters, canvas), 0.0, 1.0)
            shape = tuple(images.shape)
        except Exception as error:
            raise function_failed("decode", self.picture, error, fix) from error
        if shape != (parameters.shape[0], *canvas):
            raise InvalidParameter(
                "decode",
                allowed=f"a function that returns images of shape {(parameters.shape[0], *canvas)}",
                received=said(f"shape {shape}"),
                fix=fix,
            )
        return images

    def __repr__(self) -> str:
        names = ", ".join(getattr(part, "__qualname__", type(part).__name__) for part in (self.make, self.picture))
        return f"parameterization({names})"


def parameterization(
    initial: Callable[[np.random.Generator, Canvas], Floats], decode: Callable[[Namespace, Array, Canvas], Array]
) -> Parameterization:
    """Define a parameterization by two functions.

    Parameters
    ----------
    initial : callable
        ``initial(random, (H, W, C)) -> array``: the initial parameters of one image; `random` is a `numpy.random.Generator`.
    decode : callable
        ``decode(xp, parameters, (H, W, C)) -> (N, H, W, C)``: images for parameters with a leading axis of N, computed with
        functions of `xp`, the array-API namespace of the framework. Values are clipped to [0, 1].

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        If one of them is not callable.
    """
    for name, part in (("initial", initial), ("decode", decode)):
        if not callable(part):
            raise InvalidParameter(
                name,
                allowed="a function",
                received=part,
                fix="See the parameters of ph.parameterizations.parameterization for the arguments of both functions.",
            )
    return Own(initial, decode)
