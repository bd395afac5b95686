"""Robustness: whether a picture still activates its unit when it is shifted, rotated, scaled and made noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import stack_trees, tree_map
from phosphene.ascent.pipeline import Pipeline, apply, draw, pipeline, pipeline_constants
from phosphene.ascent.step import evaluate, read
from phosphene.backend import Network, native
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.kit.checks import one_per
from phosphene.objectives import Objective
from phosphene.objectives.forms import Form
from phosphene.objectives.location import ShapesAt
from phosphene.transforms import jitter, noise, rotate, scale
from phosphene.types import Array, Floats, Tree

__all__ = ["robust_values"]

HELD_OUT_SEED = 0x5EED
"""Seed of the held-out transforms; the key "held out" keeps them independent of a user's seed of the same value."""


@dataclass(frozen=True)
class TransformedValues:
    """``(constants, images, draws) -> values (N,)`` for `Backend.run`: an objective on transformed images."""

    network: Network
    form: Form
    pipeline: Pipeline

    def __call__(self, constants: Tree, images: Array, draws: Tree) -> Array:
        backend = self.network.backend
        seen = apply(self.pipeline, backend, images, draws, constants["pipeline"])
        activations = read(self.network, seen, self.form, constants["weights"])
        return evaluate(self.form, backend, activations, constants["arguments"], images.shape[0])


def robust_values(network: Network, objectives: Sequence[Objective], images: ImagesLike, *, draws: int = 16) -> Floats:
    """Mean of each objective over held-out transforms of its picture.

    The transforms (shifts by up to a sixteenth of the side, scaling by 0.9 to 1.1, rotation by up to 8 degrees, noise with
    deviation 0.03) come from a random stream that no ascent uses.

    Parameters
    ----------
    network : Network
    objectives : sequence of Objective
        One objective per image.
    images : images
        Anything that `phosphene.images` takes.
    draws : int, default 16
        Number of transforms per image.

    Returns
    -------
    numpy.ndarray (N,)

    Raises
    ------
    InvalidParameter
        When the number of objectives differs from that of the images.
    """
    pictures = read_images(images, network.input)
    one_per("objectives", objectives, len(pictures), "image")
    size = (pictures.shape[1], pictures.shape[2])
    held_out = pipeline((jitter(max(1, min(size) // 16)), scale(0.9, 1.1), rotate(8.0), noise(0.03)), size, size)
    backend = network.backend
    values = np.zeros(len(pictures))
    with network.scope():
        shapes = ShapesAt(network, size)
        groups: dict[Form, list[tuple[int, Tree]]] = {}
        for index, objective in enumerate(objectives):
            bound = objective.bind(network, shapes)
            groups.setdefault(bound.form, []).append((index, bound.arguments))
        fixed = native(network, {"pipeline": pipeline_constants(held_out, network.input.channels)})
        weights = network.weights()
        for form, members in groups.items():
            for index, arguments in members:
                drawn = draw(held_out, HELD_OUT_SEED, f"held out {index}", draws)
                repeated = stack_trees([arguments] * draws)
                batch = np.repeat(pictures[index : index + 1], draws, axis=0)
                given = {**fixed, "weights": weights, "arguments": native(network, repeated)}
                transformed = backend.run(
                    TransformedValues(network, form, held_out),
                    given,
                    native(network, batch),
                    native(network, tree_map(np.asarray, drawn)),
                )
                values[index] = float(backend.to_numpy(transformed).mean())
    return values
