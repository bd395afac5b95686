"""The model randomization test (Adebayo et al. 2018): a map that does not change with random weights explains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import ranks
from phosphene.attribution.evaluation import MethodOutput, Task
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.types import Floats

__all__ = ["modules_from_the_top", "rank_correlation", "sanity"]

LEVELS = 6
"""Number of depths that are tested, evenly spaced from the top layer to the whole network."""


def sanity(
    task: Task, compute: Callable[[Task], MethodOutput], to_maps: Callable[[MethodOutput], NDArray[np.float32]]
) -> Mapping[str, Floats]:
    """Rank correlation of each image's map with that of a network whose weights are randomised from the top down to a module.

    Returns
    -------
    dict of str to (N,)
        By the lowest randomised module, from the top down.
    """
    network = task.network
    own = to_maps(compute(task))
    order = modules_from_the_top(network)
    depths = sorted({max(1, round(len(order) * (index + 1) / LEVELS)) for index in range(LEVELS)})
    result = {}
    for depth in depths:
        copy = network.with_weights(_randomised(frozenset(order[:depth]), task.seed))
        with copy.scope():
            other = to_maps(compute(task.with_weights(copy.weights())))
        result[order[depth - 1]] = rank_correlation(own, other)
    return result


def modules_from_the_top(network: Network) -> list[str]:
    """Paths of the modules that hold weights, last in the forward order first."""
    modules = list(dict.fromkeys(path.rpartition(".")[0] for path in network.weight_shapes()))
    order = {path: place for place, path in enumerate(network.layers)}
    places: list[int] = []
    for module in modules:
        # Some frameworks prefix the name of a collection: params.stem.conv is the layer stem.conv.
        names = [module, module.partition(".")[2]]
        before = places[-1] if places else -1
        places.append(next((order[name] for name in names if name in order), before))
    ranked = sorted(range(len(modules)), key=lambda index: (places[index], index), reverse=True)
    return [modules[index] for index in ranked]


def rank_correlation(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> Floats:
    """Spearman's rank correlation of absolute values per image: ``(N, H, W), (N, H, W) -> (N,)``; 0 for a constant map."""
    a, b = (ranks(np.abs(maps).reshape(len(maps), -1)) for maps in (one, other))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    result: Floats = (a * b).sum(axis=1) / np.where(norm > 0, norm, 1)
    return result


def _randomised(modules: frozenset[str], seed: int) -> Callable[[str, NDArray[Any]], NDArray[Any]]:
    """Replace the weights of `modules` by Gaussian noise of the same mean and deviation; running statistics are kept."""

    def draw(path: str, array: NDArray[Any]) -> NDArray[Any]:
        module, _, name = path.rpartition(".")
        statistics = name.startswith("running_") or name in ("mean", "var", "num_batches_tracked")
        if module not in modules or statistics or not np.issubdtype(array.dtype, np.floating) or array.size < 2:
            return array
        noise = generator(seed, "sanity", path).standard_normal(array.shape)
        drawn: NDArray[Any] = (array.mean() + array.std() * noise).astype(array.dtype)
        return drawn

    return draw
