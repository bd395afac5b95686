"""Whether a picture still excites its unit when it is moved, turned, scaled and made noisy: noise that fools does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from phosphene.arrays import stack_trees, tree_map
from phosphene.ascent.pipeline import Pipeline, apply, draw, pipeline, pipeline_constants
from phosphene.ascent.program import native
from phosphene.ascent.step import evaluate, read
from phosphene.backend import Network
from phosphene.errors import InvalidParameter
from phosphene.images import check_images
from phosphene.objectives import Objective
from phosphene.objectives.forms import Form
from phosphene.transforms import jitter, noise, rotate, scale
from phosphene.types import Array, Floats, Tree

__all__ = ["robust_values"]

HELD_OUT_SEED = 0x5EED
"""Draws of this seed belong to the judge: a user's seed that equals it is still keyed apart by the word "held out"."""


@dataclass(frozen=True)
class Shaken:
    """``(constants, images, draws) -> values`` for `Backend.run`."""

    network: Network
    form: Form
    pipeline: Pipeline

    def __call__(self, constants: Tree, images: Array, draws: Tree) -> Array:
        backend = self.network.backend
        seen = apply(self.pipeline, backend, images, draws, constants["pipeline"])
        activations = read(self.network, seen, self.form, constants["weights"])
        return evaluate(self.form, backend.xp, activations, constants["arguments"], images.shape[0])


def robust_values(network: Network, objectives: Sequence[Objective], images: ArrayLike, *, draws: int = 16) -> Floats:
    """Mean of each objective over held-out transforms of its picture.

    The transforms (shift by a sixteenth of the side, scale 0.9 to 1.1, turn by up to 8 degrees, noise of 0.03) are drawn from a
    stream that no ascent uses.

    Parameters
    ----------
    network : Network
    objectives : sequence of Objective
        One an image.
    images : array-like (N, H, W, C)
        In [0, 1].
    draws : int, default 16
        Transforms an image.

    Returns
    -------
    numpy.ndarray (N,)

    Raises
    ------
    InvalidParameter
        When there are not as many objectives as images.
    """
    pictures = check_images(images, network.input)
    if len(objectives) != len(pictures):
        raise InvalidParameter(
            "objectives", allowed=f"{len(pictures)} objectives, one an image", received=len(objectives), fix=""
        )
    size = (pictures.shape[1], pictures.shape[2])
    shake = pipeline((jitter(max(1, min(size) // 16)), scale(0.9, 1.1), rotate(8.0), noise(0.03)), size, size)
    backend = network.backend
    values = np.zeros(len(pictures))
    with network.scope():
        shapes = network.shapes(size)
        groups: dict[Form, list[tuple[int, Tree]]] = {}
        for index, objective in enumerate(objectives):
            bound = objective.bind(network, shapes)
            groups.setdefault(bound.form, []).append((index, bound.arguments))
        fixed = native(network, {"pipeline": pipeline_constants(shake, network.input.channels)})
        weights = network.weights()
        for form, members in groups.items():
            for index, arguments in members:
                drawn = draw(shake, HELD_OUT_SEED, f"held out {index}", draws)
                repeated = stack_trees([arguments] * draws)
                batch = np.repeat(pictures[index : index + 1], draws, axis=0)
                given = {**fixed, "weights": weights, "arguments": native(network, repeated)}
                shaken = backend.run(
                    Shaken(network, form, shake),
                    given,
                    native(network, batch),
                    native(network, tree_map(np.asarray, drawn)),
                )
                values[index] = float(backend.to_numpy(shaken).mean())
    return values
