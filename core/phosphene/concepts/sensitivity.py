"""Sensitivity of a target to a vector that is added to a layer at all positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import constant
from phosphene.ascent.step import evaluate
from phosphene.attribution.evaluation import run_program
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, said
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["OffsetGradient", "steepest"]

BATCH = 16


@dataclass(frozen=True)
class OffsetGradient:
    """``(weights, images, arguments) -> (gradient (N, C), value (N,))`` for `Backend.run`.

    The gradient is with respect to a zero vector that is added to the layer at every position of an image: the sum over
    positions of the layer's gradient. Nothing is differentiated below the layer.
    """

    network: Network
    form: Form
    layer: str

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array, Array]:
        network, backend, xp = self.network, self.network.backend, self.network.backend.xp
        shape = network.shapes((images.shape[1], images.shape[2]))[self.layer]
        half = network.dtype in ("bfloat16", "float16")
        given = xp.astype(images, getattr(xp, network.dtype)) if half else images
        paths = list(dict.fromkeys((self.layer, *self.form.layers)))

        def objective(offset: Array) -> tuple[Array, Array]:
            def add_everywhere(xp: Namespace, activation: Array) -> Array:
                return activation + xp.astype(offset, activation.dtype)

            seen = network.forward(given, paths, weights=weights, edit={self.layer: add_everywhere})
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()} if half else seen
            value = evaluate(self.form, backend, wide, arguments, images.shape[0])
            return xp.sum(value), value

        # Each image has an offset of its own.
        zero = xp.reshape(images[:, 0, 0, 0] * 0, (-1,) + (1,) * len(shape))
        gradient, value = backend.grad(objective)(zero + constant(xp, np.zeros(shape[-1:]), images))
        return xp.reshape(gradient, (images.shape[0], shape[-1])), value


def steepest(network: Network, bound: Bound, layer: str, images: NDArray[np.float32]) -> Floats:
    """Direction of steepest ascent of a target for each image, ``(N, C)``, of unit length; zero where the gradient is zero.

    Parameters
    ----------
    network : Network
    bound : Bound
        The target, bound to the network at the size of the images.
    layer : str
        Layer to which directions are added, at all positions.
    images : (N, H, W, C) float32

    Raises
    ------
    InvalidObjective
        For a layer after those that the target reads, and for a target whose gradient at the layer is zero or not finite.
    """
    order = list(network.layers)
    last = network.layers.last(bound.form.layers)
    if order.index(layer) > order.index(last):
        raise InvalidObjective(
            "layer",
            allowed=f"a layer that comes before {last!r}, which the target reads",
            received=layer,
            fix="Later layers do not affect the target: choose an earlier layer.",
        )
    gradients = run_program(network, bound, OffsetGradient(network, bound.form, layer), images, BATCH)[0].astype(
        np.float64
    )
    lengths = np.sqrt(np.square(gradients).sum(axis=1, keepdims=True))
    if not np.all(np.isfinite(lengths)) or not np.any(lengths):
        what = "zero on all images" if np.all(np.isfinite(lengths)) else "not finite"
        raise InvalidObjective(
            "target",
            allowed=f"a target with a finite, non-zero gradient at {layer!r}",
            received=said(f"{bound.label}, whose gradient is {what}"),
            fix="Choose another layer, or other images.",
        )
    units: Floats = gradients / np.where(lengths > 0, lengths, 1)
    return units
