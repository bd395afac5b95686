"""One piece of work of an attribution: images, and the target of each, that share a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import tree_map
from phosphene.ascent.program import native
from phosphene.attribution.programs import Reach, Value
from phosphene.backend import Network
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Floats, Tree

__all__ = ["Computed", "Job", "for_all"]


@dataclass(frozen=True)
class Job:
    """What a method is given.

    Attributes
    ----------
    network : Network
    weights : Tree
        Of the network, or of a randomised copy.
    form : Form
        What is explained.
    arguments : Tree
        Its arguments, NumPy, with a leading axis of N.
    images : (N, H, W, C) float32
    layer : str or None
    batch : int
        Images at a time.
    seed : int
    options : mapping
        The method's own.
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
        """Outputs of ``program(weights, images, arguments)`` as NumPy, over all of `images`, in batches of one size.

        `owners` says whose arguments each image takes; as many images as targets when absent.
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
        """The target's value for each image, ``(N,)``."""
        (value,) = self.run(Value(self.network, self.form), images, owners)
        return np.asarray(value, np.float64)

    def arrived(self, paths: Sequence[str]) -> NDArray[Any]:
        """How much gradient of the first image's target arrives at each of these layers; of tokens, at the patches."""
        backend, first = self.network.backend, tree_map(lambda leaf: leaf[:1], self.arguments)
        given = native(self.network, self.images[:1]), native(self.network, first)
        (found,) = backend.to_numpy(backend.run(Reach(self.network, self.form, tuple(paths)), self.weights, *given))
        return np.asarray(found)

    def with_weights(self, weights: Tree) -> Job:
        """The same work on other weights."""
        return replace(self, weights=weights)

    def _batches(self, count: int) -> Iterator[NDArray[np.int64]]:
        # A last batch of another size would compile once more: it is filled up with its last row.
        batch = min(self.batch, count)
        for start in range(0, count, batch):
            yield np.minimum(np.arange(start, start + batch), count - 1)


def for_all(
    network: Network, bound: Bound, program: Callable[..., Tree], images: NDArray[Any], batch: int
) -> list[Any]:
    """Outputs of ``program(weights, images, arguments)`` as NumPy, for images that all have one target.

    Parameters
    ----------
    network : Network
    bound : Bound
        The target.
    program : callable
        Such as `phosphene.attribution.programs.Slope`.
    images : (N, H, W, C)
    batch : int
        Images at a time.

    Returns
    -------
    list of array
        Each with a leading axis of N.
    """
    with network.scope():
        one = tree_map(lambda leaf: np.asarray(leaf)[None], bound.arguments)
        job = Job(network, network.weights(), bound.form, one, images, None, batch, 0, {})
        return job.run(program, images, np.zeros(len(images), np.int64))


@dataclass(frozen=True)
class Computed:
    """What a method gives back; see `phosphene.results.Attribution` for `raw`, `values`, `scores` and `coverage`.

    `spread` is the map at the image's size ``(N, H, W)``, where that does not follow from `raw`.
    """

    raw: NDArray[Any]
    values: Floats
    spread: NDArray[Any] | None = None
    scores: Mapping[str, Floats] = field(default_factory=dict)
    coverage: str = ""
