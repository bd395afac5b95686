"""Targets of a run: objectives held against a network, grouped by what can share a compiled program and a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phosphene.ascent import growth
from phosphene.backend import Network
from phosphene.draws import content_key
from phosphene.errors import InvalidParameter, ModelFailed
from phosphene.objectives import Bound, Objective
from phosphene.objectives.forms import DirectionForm, Form, LinearForm, MatchForm, NeuronForm, ProductForm
from phosphene.presets import Preset
from phosphene.types import Size

__all__ = ["Group", "bind_all", "in_order", "slots_by_memory"]

MEMORY_BUDGET = 1 << 30
"""Bytes that the activations of one batch may take, about; it sizes the batch when the user does not."""

MOST_SLOTS = 32


@dataclass(frozen=True)
class Group:
    """Targets that share a form, and so a compiled program."""

    form: Form
    window: Size
    indices: list[int]
    bound: list[Bound]
    occurrences: list[int]


def bind_all(network: Network, wanted: Sequence[Objective], canvas: Size, recipe: Preset) -> list[Group]:
    """Hold all objectives against the network before any work, and group them by form."""
    margin = growth(recipe.transforms)
    padded = (canvas[0] + 2 * margin, canvas[1] + 2 * margin)
    with network.scope():
        shapes = network.shapes(canvas)
        if margin:
            try:
                network.shapes(padded)
            except ModelFailed:
                padded = canvas  # a network of fixed size sees the picture's middle, and the pad where it is moved
    groups: dict[Form, Group] = {}
    seen: dict[str, int] = {}
    for index, item in enumerate(wanted):
        bound = item.bind(network, shapes)
        if padded != canvas and _positional(bound.form):
            raise InvalidParameter(
                "transforms", allowed="no pad with an objective that names positions", received=recipe.transforms,
                fix="Positions would move with the pad: leave ph.pad out.",
            )  # fmt: skip
        key = content_key(bound.form, bound.key)
        group = groups.setdefault(bound.form, Group(bound.form, padded, [], [], []))
        group.indices.append(index)
        group.bound.append(bound)
        group.occurrences.append(seen.get(key, 0))
        seen[key] = seen.get(key, 0) + 1
    return list(groups.values())


def _positional(form: Form) -> bool:
    if isinstance(form, LinearForm):
        return any(_positional(inner) for inner in form.forms)
    if isinstance(form, ProductForm):
        return _positional(form.left) or _positional(form.right)
    return (
        isinstance(form, MatchForm)
        or (isinstance(form, NeuronForm) and not form.central)
        or (isinstance(form, DirectionForm) and form.where == "at")
    )


def slots_by_memory(network: Network, group: Group, count: int) -> int:
    """Targets at a time, such that their activations fit `MEMORY_BUDGET`; evenly filled batches."""
    shapes = network.shapes(group.window)
    last = network.layers.last(group.form.layers)
    values = 0
    for path in network.layers:
        values += int(np.prod(shapes.get(path, (0,))))
        if path == last:
            break
    fitting = max(1, min(MOST_SLOTS, MEMORY_BUDGET // max(1, 4 * 2 * values)))
    batches = -(-count // fitting)
    return -(-count // batches)


def in_order(groups: Sequence[Group]) -> list[Bound]:
    """Bound objectives in the order in which they were given."""
    by_index = {index: bound for group in groups for index, bound in zip(group.indices, group.bound, strict=True)}
    return [by_index[index] for index in sorted(by_index)]
