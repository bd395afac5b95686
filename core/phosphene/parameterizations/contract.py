"""The contract of a parameterization: a few small functions, of which a user's own needs two."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.projections import Projection
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["Canvas", "Parameterization", "parameterization", "spread_of"]

Canvas = tuple[int, int, int]


class Parameterization(abc.ABC):
    """A way to write an image as parameters; decoded images are always in [0, 1]."""

    pixelwise: bool = False
    """Whether the parameters are the image ``(N, H, W, C)`` itself, so that projections may act on them."""

    together: bool = False
    """Whether the pictures of a batch share some of their parameters, so that all must be computed at once."""

    transparent: bool = False
    """Whether the gradient that reaches each pixel is summed up, as how opaque it is."""

    @abc.abstractmethod
    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        """Initial parameters of one image, without a batch axis."""

    def constants(self, canvas: Canvas) -> Tree:
        """NumPy arrays that `decode` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        """Images ``(N, H, W, C)`` in [0, 1] from parameters ``(N, ...)``."""

    def encode(self, image: Floats) -> Floats:
        """Parameters of a given image ``(H, W, C)``, the inverse of `decode`."""
        raise InvalidParameter(
            "start", allowed="no image to start from with this parameterization", received=self,
            fix="Use ph.pixel() or ph.fourier().",
        )  # fmt: skip

    def bounds(self) -> tuple[Projection, ...]:
        """Projections that keep decoded images in [0, 1], where decoding alone does not."""
        return ()


@dataclass(frozen=True)
class Own(Parameterization):
    make: Callable[[np.random.Generator, Canvas], Floats]
    picture: Callable[[Namespace, Array, Canvas], Array]

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        return np.asarray(self.make(random, canvas), np.float64)

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        return xp.clip(self.picture(xp, parameters, canvas), 0.0, 1.0)

    def __repr__(self) -> str:
        names = ", ".join(getattr(part, "__qualname__", type(part).__name__) for part in (self.make, self.picture))
        return f"parameterization({names})"


def parameterization(
    initial: Callable[[np.random.Generator, Canvas], Floats], decode: Callable[[Namespace, Array, Canvas], Array]
) -> Parameterization:
    """A parameterization of your own, from two functions.

    Parameters
    ----------
    initial : callable
        ``initial(random, (H, W, C)) -> array``: the parameters of one image, drawn from `random`.
    decode : callable
        ``decode(xp, parameters, (H, W, C)) -> (N, H, W, C)``: images from parameters with a leading axis of N, by functions of
        `xp`, the array-API namespace of the framework. What leaves [0, 1] is clipped.

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When one of them cannot be called.
    """
    for name, part in (("initial", initial), ("decode", decode)):
        if not callable(part):
            raise InvalidParameter(name, allowed="a function", received=part, fix="See help(ph.parameterization).")
    return Own(initial, decode)


def spread_of(spread: float) -> float:
    """`spread` as a deviation of initial noise, or `InvalidParameter`."""
    if not isinstance(spread, (int, float)) or not 0 <= spread < float("inf"):
        raise InvalidParameter(
            "spread", allowed="a number of at least 0", received=spread, fix="The usual one is 0.01."
        )
    return float(spread)
