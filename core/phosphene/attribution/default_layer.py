"""The layer of a class activation map when none is named: the last one whose positions the target depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import Task
from phosphene.attribution.layer_positions import GRID, PATCHES, SEQUENCE, VOLUME, positions_of, tokens_at
from phosphene.attribution.programs import GradientReach
from phosphene.attribution.reach import check_differentiable, reached
from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.layers import OUTPUT

__all__ = ["default_layer"]

FIRST, MOST = 12, 16
"""Number of layers that are differentiated in one pass: in the first one, and in later ones."""

PROJECTIONS = ("Linear", "Dense")
"""Kinds of modules that are projections inside a transformer's block: queries, keys, values and the parts of its MLP."""

ROUNDING = 1e-6


@dataclass(frozen=True)
class Seen:
    """A layer on two images: its activation ``(2, ...)``, and the largest gradient of the target per channel ``(2, C)``."""

    path: str
    values: NDArray[np.floating]
    slopes: NDArray[np.floating]

    @property
    def on_the_way(self) -> bool:
        """Whether the target has a gradient here, and the layer depends on the image (a table of position biases does not)."""
        # NaN counts as a gradient: that values are not finite is said elsewhere.
        if not np.any(self.slopes != 0):
            return False
        return not bool(np.all(np.abs(self.values[0] - self.values[1]) <= ROUNDING * np.abs(self.values).max()))

    def same_as(self, other: Seen) -> bool:
        """Whether two layers hold the same numbers at the same positions."""
        return self.values.shape == other.values.shape and bool(
            np.all(np.abs(self.values - other.values) <= ROUNDING * np.abs(other.values).max())
        )


def default_layer(task: Task) -> str:
    """Find the layer of a class activation map, from the target back.

    It is the last layer with more than one position that depends on the image, at which the target has a gradient, and which
    does not hold the values of the target's own layer: a model's return value is often a module's output too, and the scores of
    a segmentation model are enlarged or squashed. In a transformer the positions are the patches, and projections inside of
    attention are left out. Positions on one axis that are not known to be patches are taken only if there are no others. Of
    several modules with the same output the outermost is taken.

    Layers are differentiated in small groups, on one image and on noise, and nothing is computed for those further back than
    needed.

    Raises
    ------
    InvalidParameter
        If no layer fits.
    InvalidObjective
        If the target has no gradient, on these images and on others.
    """
    network, form = task.network, task.form
    last = network.layers.last(form.layers)
    order = list(network.layers)
    tiers = _tiers(task, order[: order.index(last)])
    groups = [group for paths in tiers for group in _groups(paths)]
    found = _searched(task, groups, 0, check=True)
    if found is not None:
        return found
    raise InvalidParameter(
        "layer",
        allowed="a layer with positions, before the target and with a gradient of it",
        received=None,
        fix=f"{network.name} has no such layer before {last!r}: name a layer, or use a method without one, such as "
        "method='smoothgrad'.",
    )


def _searched(task: Task, groups: Sequence[Sequence[str]], row: int, *, check: bool) -> str | None:
    """The first layer of the groups that fits, on an image and noise; another image is taken if neither has a gradient."""
    images, looked = _probes(task, row), dict[str, Seen]()
    for number, group in enumerate(groups, start=1):
        looked |= _look(
            task, images, [path for path in dict.fromkeys((*group, *task.form.layers)) if path not in looked]
        )
        chosen = _chosen(task, group, looked)
        if chosen is not None:
            return chosen
        if check and number == min(2, len(groups)):
            # A gradient that arrives nowhere would be sought in all layers; to look at the image costs more than a group does.
            other = _first_reached(task, images)
            if other is not None:
                return _searched(task, groups, other, check=False)
    return None


def _tiers(task: Task, paths: Sequence[str]) -> list[list[str]]:
    """Layers with several positions from the last to the first: those to prefer, projections of tokens, and sequences."""
    network, size = task.network, (task.images.shape[1], task.images.shape[2])
    shapes = network.shapes(size)
    tiers: list[list[str]] = [[], [], []]
    for path in reversed(paths):
        kind = positions_of(network, path, size)
        tokens = tokens_at(network, path, size) if kind == PATCHES else None
        count = int(np.prod(tokens.grid if tokens is not None else shapes[path][:-1]))
        if not kind or count < 2:
            continue
        inner = kind == PATCHES and any(word in network.layers[path].kind for word in PROJECTIONS)
        tiers[1 if inner else {GRID: 0, PATCHES: 0, VOLUME: 0, SEQUENCE: 2}[kind]].append(path)
    return tiers


def _groups(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    if paths:
        yield paths[:FIRST]
    for start in range(FIRST, len(paths), MOST):
        yield paths[start : start + MOST]


def _probes(task: Task, row: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """An image and noise, and the row of the target for both."""
    noise = generator(0, "default layer").random(task.images.shape[1:]).astype(np.float32)
    return np.stack([task.images[row], noise]), np.full(2, row)


def _first_reached(task: Task, given: tuple[NDArray[np.float32], NDArray[np.int64]]) -> int | None:
    """The first image with a gradient, if there is one and the `given` ones have none."""
    if reached(task, *given).any():
        return None
    found = check_differentiable(task)
    return int(np.argmax(found)) if found.any() else None


def _look(task: Task, images: tuple[NDArray[np.float32], NDArray[np.int64]], paths: Sequence[str]) -> dict[str, Seen]:
    if not paths:
        return {}
    size = (task.images.shape[1], task.images.shape[2])
    tokens = tuple(tokens_at(task.network, path, size) for path in paths)
    found = task.run(GradientReach(task.network, task.form, tuple(paths), tokens), *images)
    parts = zip(paths, found[0::2], found[1::2], strict=True)
    return {path: Seen(path, values, slopes) for path, slopes, values in parts}


def _chosen(task: Task, group: Sequence[str], looked: dict[str, Seen]) -> str | None:
    """The last layer of a group that fits, under its outermost name."""
    targets = [looked[path] for path in task.form.layers]
    fitting = [looked[path] for path in group if looked[path].on_the_way]
    for seen in fitting:
        if not any(_own(seen, target) for target in targets):
            # Values that are not numbers are not the same as themselves.
            same = [other.path for other in reversed(fitting) if other is seen or other.same_as(seen)]
            return min(same, key=lambda path: path.count("."))  # the first of the outermost in forward order
    return None


def _own(seen: Seen, target: Seen) -> bool:
    """Whether a layer holds the values of the target's layer, or the scores that the model returns for each position."""
    if _part_of(seen.values, target.values):
        return True
    channels = seen.values.shape[-1]
    several = all(it.values.ndim > 2 and it.values[0, ..., 0].size > 1 for it in (seen, target))
    if target.path != OUTPUT or not several or target.values.shape[-1] != channels:
        return False
    # Enlarged or squashed, the scores of a class depend on those of this class alone.
    here, there = (np.any(it.slopes != 0, axis=0) for it in (seen, target))
    if (channels == 1 or not there.all()) and not np.any(here & ~there):
        return True
    return _softmax_of(seen.values, target.values) or _enlarged(seen.values, target.values)


def _part_of(values: NDArray[np.floating], target: NDArray[np.floating]) -> bool:
    """Whether all values of one image are among those of `target`, in whatever order: equal, reshaped or a part of them."""
    if values[0].size > target[0].size:
        return False
    known = np.sort(target[0], axis=None)
    wanted = values[0].ravel()
    after = np.searchsorted(known, wanted).clip(1, max(1, known.size - 1))
    nearest = np.minimum(np.abs(known[after - 1] - wanted), np.abs(known[after.clip(0, known.size - 1)] - wanted))
    return bool(np.all(nearest <= ROUNDING * np.abs(known).max()))


def _softmax_of(values: NDArray[np.floating], target: NDArray[np.floating]) -> bool:
    """Whether `target` is the softmax of `values`, or its logarithm."""
    if values.shape != target.shape:
        return False
    logs = values - values.max(axis=-1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))
    return any(bool(np.allclose(one, target, rtol=1e-3, atol=1e-5)) for one in (np.exp(logs), logs))


def _enlarged(values: NDArray[np.floating], target: NDArray[np.floating]) -> bool:
    """Whether the strongest channel is the same at nine of ten positions of `target`, which has more rows and columns."""
    sides, wide = values.shape[1:-1], target.shape[1:-1]
    if len(sides) != len(wide) or sides == wide or any(a > b for a, b in zip(sides, wide, strict=True)):
        return False
    places = [np.arange(b) * a // b for a, b in zip(sides, wide, strict=True)]
    strongest = values.argmax(axis=-1)[(slice(None), *np.ix_(*places))]
    return float(np.mean(strongest == target.argmax(axis=-1))) >= 0.9
