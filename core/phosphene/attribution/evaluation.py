"""Evaluation of attribution programs: images and their targets, which share a compiled program, in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import tree_map
from phosphene.attribution.programs import Value
from phosphene.backend import Network, native
from phosphene.errors import InvalidParameter, holds, said
from phosphene.kit.checks import floats, number
from phosphene.kit.progress import Progress, Teller
from phosphene.objectives import Bound
from phosphene.objectives.forms import Form
from phosphene.types import Floats, Tree

__all__ = ["Counter", "MethodOutput", "Task", "baseline", "baseline_of", "run_program"]


class Counter:
    """Counts the images that the network has seen in a call, for `phosphene.Progress`.

    Parameters
    ----------
    tell : callable
        Called with the state after each batch.
    """

    def __init__(self, tell: Teller) -> None:
        self._tell, self._start = tell, time.perf_counter()
        self._done = self._total = 0

    def expect(self, count: int) -> None:
        """Announce `count` more images."""
        self._total += count

    def add(self, count: int) -> None:
        """Report `count` images; there may be more than were announced."""
        self._done += count
        self._total = max(self._total, self._done)
        self._tell(Progress(self._done, self._total, "images", time.perf_counter() - self._start))


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
    counter : Counter, optional
        Told of each batch.
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
    counter: Counter | None = None

    def expect(self, count: int) -> None:
        """Announce that `count` images will be run."""
        if self.counter is not None:
            self.counter.expect(count)

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
            if self.counter is not None:
                self.counter.add(min(len(chosen), len(images) - int(chosen[0])))
        return [np.concatenate(column)[: len(images)] for column in zip(*parts, strict=True)]

    def values(self, images: NDArray[Any], owners: NDArray[np.int64] | None = None) -> Floats:
        """Value of the target for each image, ``(N,)``."""
        (value,) = self.run(Value(self.network, self.form), images, owners)
        return np.asarray(value, np.float64)

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
    """The output of an attribution method; see `phosphene.Attribution` for `raw`, `values` and `scores`.

    `spread` is the map ``(N, h, w)`` that is upsampled to the size of the image, for methods where it is not `raw` itself.
    `arrived` ``(N,)`` is whether any gradient is not exactly zero, for methods with gradients.
    """

    raw: NDArray[Any]
    values: Floats
    arrived: NDArray[np.bool_] | None = None
    spread: NDArray[Any] | None = None
    scores: Mapping[str, Floats] = field(default_factory=dict)


def baseline(value: Any) -> NDArray[np.float64]:
    """Check a baseline, as far as that needs no image: a number, or an array of three axes, in [0, 1]."""
    number_of_array = isinstance(value, (np.ndarray, list, tuple)) or holds(value, "__array__")
    given = floats("baseline", value) if number_of_array else np.asarray(number("baseline", value, example=0))
    if given.ndim not in (0, 3):
        raise InvalidParameter(
            "baseline",
            allowed="a number or an image (H, W, C)",
            received=said(f"shape {given.shape}"),
            fix="For example baseline=0, which is black.",
        )
    if not (given.size and np.all(np.isfinite(given)) and given.min() >= 0 and given.max() <= 1):
        raise InvalidParameter(
            "baseline", allowed="values in [0, 1]", received=value, fix="For example baseline=0, which is black."
        )
    return given


def baseline_of(task: Task) -> NDArray[np.float64]:
    """The baseline: a number or an image ``(H, W, C)``, in [0, 1]."""
    given = baseline(task.options["baseline"])
    if given.ndim == 3 and given.shape != task.images.shape[1:]:
        raise InvalidParameter(
            "baseline",
            allowed=f"a number or an image of shape {task.images.shape[1:]}",
            received=said(f"shape {given.shape}"),
            fix="For example baseline=0, which is black.",
        )
    return given
