"""The two kinds of transform: affine maps, which compose into one resampling, and whatever else stands in the sequence."""

from __future__ import annotations

import abc

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.types import Array, Floats, Namespace, Size, Tree

__all__ = ["Affine", "Pointwise", "Transform", "pixels_of"]


class Transform(abc.ABC):  # noqa: B024 (its two kinds, below, are what is subclassed)
    """A random map of images to images."""


class Affine(Transform):
    """A transform that is an affine map about the centre of the image."""

    growth: int = 0
    """Pixels by which the image grows on each side."""

    kind: str = "shift"
    """The cheapest of `phosphene.warps.KINDS` that covers its draws."""

    def at(self, source: Size) -> Affine:
        """The same for images of that size, for a transform that depends on it."""
        return self

    @abc.abstractmethod
    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        """Maps ``(steps, 3, 3)`` from output to input, in pixels about the centre, x before y."""


class Pointwise(Transform):
    """A transform that is no affine map, with draws of its own."""

    def constants(self, size: Size, channels: int) -> Tree:
        """NumPy arrays that `apply` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        """NumPy arrays with a leading axis of `steps`."""

    @abc.abstractmethod
    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        """Transformed images; `draws` have a leading axis of N here."""


def pixels_of(name: str, value: int) -> int:
    """`value` as a distance in whole pixels, or `InvalidParameter`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidParameter(name, allowed="an integer of at least 0", received=value, fix="For example 8.")
    return value
