"""How a target changes when something is added to a layer at all of its positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import constant, tree_map
from phosphene.ascent.program import native
from phosphene.ascent.step import evaluate
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, said
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Array, Edit, Floats, Namespace, Tree

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
            seen = network.forward(given, paths, weights=weights, edit={self.layer: _adding(nothing)})
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
    batch, found = min(BATCH, len(images)), []
    with network.scope():
        weights = network.weights()
        # A last batch of another size would compile once more: it is filled up, and the filling dropped.
        arguments = native(network, tree_map(partial(_rows, batch), bound.arguments))
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
            gradient, _ = network.backend.run(
                Everywhere(network, bound.form, layer), weights, native(network, filled), arguments
            )
            found.append(network.backend.to_numpy(gradient)[: len(part)].astype(np.float64))
    gradients = np.concatenate(found)
    lengths = np.sqrt(np.square(gradients).sum(axis=1, keepdims=True))
    if not np.all(np.isfinite(lengths)) or not np.any(lengths):
        what = "none arrives" if np.all(np.isfinite(lengths)) else "it is not finite"
        raise InvalidObjective(
            "target", allowed=f"a target whose gradient arrives at {layer!r}", received=said(f"{bound.label}: {what}"),
            fix="Take another layer, or other images.",
        )  # fmt: skip
    units: Floats = gradients / np.where(lengths > 0, lengths, 1)
    return units


def _adding(nothing: Array) -> Edit:
    def add(xp: Namespace, activation: Array) -> Array:
        return activation + xp.astype(nothing, activation.dtype)

    return add


def _rows(count: int, leaf: Any) -> Any:
    return np.repeat(np.asarray(leaf)[None], count, axis=0)
