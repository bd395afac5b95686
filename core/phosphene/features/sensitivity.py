"""How a target changes when something is added to a layer at all of its positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import constant
from phosphene.ascent.step import evaluate
from phosphene.attribution.job import for_all
from phosphene.attribution.programs import adding
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, said
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Array, Floats, Tree

__all__ = ["Everywhere", "steepest"]

BATCH = 16


@dataclass(frozen=True)
class Everywhere:
    """``(weights, images, arguments) -> (gradient (N, C), value (N,))`` for `Backend.run`.

    The gradient is that of a vector of nothing that is added to the layer at every position of an image: the sum over positions
    of the layer's own gradient. None is computed below the layer.
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

        def objective(nothing: Array) -> tuple[Array, Array]:
            seen = network.forward(given, paths, weights=weights, edit={self.layer: adding(nothing)})
            wide = {path: xp.astype(value, images.dtype) for path, value in seen.items()} if half else seen
            value = evaluate(self.form, xp, wide, arguments, images.shape[0])
            return xp.sum(value), value

        # One number an image, spread out: a row of the batch has a nothing of its own.
        nothing = xp.reshape(images[:, 0, 0, 0] * 0, (-1,) + (1,) * len(shape))
        gradient, value = backend.grad(objective)(nothing + constant(xp, np.zeros(shape[-1:]), images))
        return xp.reshape(gradient, (images.shape[0], shape[-1])), value


def steepest(network: Network, bound: Bound, layer: str, images: NDArray[np.float32]) -> Floats:
    """The direction of steepest ascent of a target for each image, ``(N, C)``, of unit length; zero where no gradient arrives.

    Parameters
    ----------
    network : Network
    bound : Bound
        The target, held against the network at the images' size.
    layer : str
        To which directions are added, at all of its positions.
    images : (N, H, W, C) float32

    Raises
    ------
    InvalidObjective
        For a layer behind all that the target reads, and for a target none of whose gradient arrives at the layer.
    """
    order = list(network.layers)
    last = network.layers.last(bound.form.layers)
    if order.index(layer) > order.index(last):
        raise InvalidObjective(
            "layer", allowed=f"a layer that comes before {last!r}, which the target reads", received=layer,
            fix="What comes later has no part in it.",
        )  # fmt: skip
    gradients = for_all(network, bound, Everywhere(network, bound.form, layer), images, BATCH)[0].astype(np.float64)
    lengths = np.sqrt(np.square(gradients).sum(axis=1, keepdims=True))
    if not np.all(np.isfinite(lengths)) or not np.any(lengths):
        what = "none arrives" if np.all(np.isfinite(lengths)) else "it is not finite"
        raise InvalidObjective(
            "target", allowed=f"a target whose gradient arrives at {layer!r}", received=said(f"{bound.label}: {what}"),
            fix="Take another layer, or other images.",
        )  # fmt: skip
    units: Floats = gradients / np.where(lengths > 0, lengths, 1)
    return units
