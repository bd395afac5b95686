"""Evaluation of attribution programs: images and their targets, which share a compiled program, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import tree_map
from phosphene.attribution.programs import GradientReach, Value
from phosphene.backend import Network, native
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Floats, Tree

__all__ = ["MethodOutput", "Task", "run_program"]


@dataclass(frozen=True)
class Task:
    """The input of an attribution method.

    Attributes
    ----------
    network : Network
    weights : Tree
        Weights of the network, or of a randomised copy.
    form : Form
        Form of the targets.
    arguments : Tree
        Arguments of the form, as NumPy arrays with a leading axis of N.
    images : (N, H, W, C) float32
    layer : str or None
        Layer of a class activation map.
    batch : int
        Batch size.
    seed : int
        Random seed.
    options : mapping
        Options of the method.
    """

    network: Network
    weights: Tree
    form: Form
    arguments: Tree
    images: NDArray[np.float32]
    layer: str | None
    batch: int
    seed: int
    options: Mapping[str, Any]

    def run(
        self, program: Callable[..., Tree], images: NDArray[Any], owners: NDArray[np.int64] | None = None
    ) -> list[Any]:
        """Run ``program(weights, images, arguments)`` on `images` in batches of one size, and return its outputs as NumPy.

        `owners` gives the row of the arguments for each image (default: image i has the arguments of row i).
        """
        backend = self.network.backend
        rows = np.arange(len(images)) if owners is None else owners
        parts: list[list[NDArray[Any]]] = []
        for chosen in self._batches(len(images)):
            arguments = tree_map(lambda leaf, chosen=chosen: leaf[rows[chosen]], self.arguments)
            given = native(self.network, images[chosen]), native(self.network, arguments)
            found = backend.run(program, self.weights, *given)
            outputs = found if isinstance(found, tuple) else (found,)
            parts.append([backend.to_numpy(output) for output in outputs])
        return [np.concatenate(column)[: len(images)] for column in zip(*parts, strict=True)]

    def values(self, images: NDArray[Any], owners: NDArray[np.int64] | None = None) -> Floats:
        """Value of the target for each image, ``(N,)``."""
        (value,) = self.run(Value(self.network, self.form), images, owners)
        return np.asarray(value, np.float64)

    def gradient_sizes(self, paths: Sequence[str]) -> NDArray[Any]:
        """Size of the gradient of the first image's target at each of these layers (for tokens, at the patches)."""
        backend, first = self.network.backend, tree_map(lambda leaf: leaf[:1], self.arguments)
        given = native(self.network, self.images[:1]), native(self.network, first)
        (found,) = backend.to_numpy(
            backend.run(GradientReach(self.network, self.form, tuple(paths)), self.weights, *given)
        )
        return np.asarray(found)

    def with_weights(self, weights: Tree) -> Task:
        """The same task with other weights."""
        return replace(self, weights=weights)

    def _batches(self, count: int) -> Iterator[NDArray[np.int64]]:
        # The last batch is padded with its last row: a batch of another size would be compiled again.
        batch = min(self.batch, count)
        for start in range(0, count, batch):
            yield np.minimum(np.arange(start, start + batch), count - 1)


def run_program(
    network: Network, bound: Bound, program: Callable[..., Tree], images: NDArray[Any], batch: int
) -> list[Any]:
    """Run ``program(weights, images, arguments)`` on images with one common target, and return its outputs as NumPy.

    Parameters
    ----------
    network : Network
    bound : Bound
        The target.
    program : callable
        For example `phosphene.attribution.programs.InputGradient`.
    images : (N, H, W, C)
    batch : int
        Batch size.

    Returns
    -------
    list of array
        Each with a leading axis of N.
    """
    with network.scope():
        one = tree_map(lambda leaf: np.asarray(leaf)[None], bound.arguments)
        task = Task(network, network.weights(), bound.form, one, images, None, batch, 0, {})
        return task.run(program, images, np.zeros(len(images), np.int64))


@dataclass(frozen=True)
class MethodOutput:
    """The output of an attribution method; see `phosphene.Attribution` for `raw`, `values`, `scores` and `coverage`.

    `spread` is the map at the size of the image ``(N, H, W)``, for methods where it is not `raw` upsampled.
    """

    raw: NDArray[Any]
    values: Floats
    spread: NDArray[Any] | None = None
    scores: Mapping[str, Floats] = field(default_factory=dict)
    coverage: str = ""
