"""The two kinds of transforms: affine maps, which compose into one resampling, and all others."""

from __future__ import annotations

import abc

import numpy as np

from phosphene.types import Array, Floats, Namespace, Size, Tree

__all__ = ["Affine", "Pointwise", "Transform"]


class Transform(abc.ABC):  # noqa: B024 (only its two kinds below are subclassed)
    """A random transform of images."""


class Affine(Transform):
    """A transform that is an affine map about the image's centre."""

    growth: int = 0
    """Number of pixels by which the image grows on each side."""

    kind: str = "shift"
    """The cheapest of `phosphene.warps.KINDS` that covers all its maps."""

    def at(self, source: Size) -> Affine:
        """Return the transform for images of size `source`, if it depends on the size."""
        return self

    @abc.abstractmethod
    def matrices(self, random: np.random.Generator, steps: int) -> Floats:
        """Return maps ``(steps, 3, 3)`` from output to input, in pixels about the centre, x before y."""


class Pointwise(Transform):
    """A transform that is not an affine map."""

    def constants(self, size: Size, channels: int) -> Tree:
        """Return NumPy arrays that `apply` needs, computed once on the host."""
        return ()

    @abc.abstractmethod
    def draws(self, random: np.random.Generator, steps: int, size: Size) -> Tree:
        """Return random NumPy arrays with a leading axis of `steps`."""

    @abc.abstractmethod
    def apply(self, xp: Namespace, images: Array, draws: Tree, constants: Tree) -> Array:
        """Return the transformed images; `draws` have a leading axis of N here."""
