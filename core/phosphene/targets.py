"""Targets of a run: objectives held against a network, grouped by what can share a compiled program and a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phosphene.ascent import Pipeline, window_of
from phosphene.ascent import cropped as pipeline_cropped
from phosphene.backend import Network
from phosphene.cropping import Crop, crops
from phosphene.draws import content_key
from phosphene.errors import InvalidParameter, ModelFailed
from phosphene.objectives import Bound, Objective
from phosphene.objectives.forms import DirectionForm, Form, LinearForm, MatchForm, NeuronForm, ProductForm
from phosphene.presets import Preset
from phosphene.transforms import Resize
from phosphene.types import Size, Tree

__all__ = ["Group", "bind_all", "cropped", "in_order", "in_window", "slots_by_memory"]

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
    crops: list[Crop] | None = None
    """The part of the window that each target depends on, where it is known to be a part; all of one size."""

    @property
    def together(self) -> bool:
        """Whether the targets depend on each other, so that they must share one batch from beginning to end."""
        return self.bound[0].company is not None

    @property
    def seen(self) -> Size:
        """Height and width of what the network sees at each step."""
        return self.window if self.crops is None else self.crops[0].size


def bind_all(network: Network, wanted: Sequence[Objective], canvas: Size, recipe: Preset) -> list[Group]:
    """Hold all objectives against the network before any work, and group them by form."""
    window = window_of(recipe.transforms, canvas)
    resized = any(isinstance(transform, Resize) for transform in recipe.transforms)
    with network.scope():
        shapes = network.shapes(canvas)
        if window != canvas:
            try:
                network.shapes(window)
            except ModelFailed:
                if resized:
                    raise
                window = canvas  # a network of fixed size sees the picture's middle, and the pad where it is moved
    groups: dict[tuple[Form, int], Group] = {}
    seen: dict[str, int] = {}
    for index, item in enumerate(wanted):
        bound = item.bind(network, shapes)
        if window != canvas and _positional(bound.form):
            raise InvalidParameter(
                "transforms", allowed="no pad or resize with an objective that names positions",
                received=recipe.transforms, fix="Positions would move with it: leave ph.pad and ph.resize out.",
            )  # fmt: skip
        key = content_key(bound.form, bound.key)
        # Pictures that are told apart by each other make a batch of their own, whole.
        company = 0 if bound.company is None else id(bound.company)
        group = groups.setdefault((bound.form, company), Group(bound.form, window, [], [], []))
        group.indices.append(index)
        group.bound.append(bound)
        group.occurrences.append(seen.get(key, 0))
        seen[key] = seen.get(key, 0) + 1
    return list(groups.values())


def cropped(network: Network, group: Group, plan: Pipeline) -> list[Group]:
    """The group, split into targets for which a window of the image will do and those that need the whole.

    Windows are for objectives at one position of one layer. The steps of the others, and of all where the transforms do not allow
    it, see the whole.
    """
    form = group.form
    at_one = isinstance(form, NeuronForm) or (isinstance(form, DirectionForm) and form.where != "mean")
    if not at_one or pipeline_cropped(plan, group.window) is None:
        return [group]
    layer = form.layers[0]
    sides = network.shapes(group.window)[layer][:-1]
    if len(sides) != 2:
        return [group]
    centre = (sides[0] // 2, sides[1] // 2)
    positions = []
    for bound in group.bound:
        given = None if _central(form) else bound.arguments[-1]
        positions.append(centre if given is None else (int(given[0]), int(given[1])))
    unique = list(dict.fromkeys(positions))
    found = dict(zip(unique, crops(network, layer, unique, group.window), strict=True))
    parts: list[Group] = []
    for inside in (True, False):
        rows = [row for row, position in enumerate(positions) if (found[position] is not None) == inside]
        if rows:
            windows = [crop for row in rows if (crop := found[positions[row]]) is not None]
            parts.append(
                replace(
                    group,
                    indices=[group.indices[row] for row in rows],
                    bound=[group.bound[row] for row in rows],
                    occurrences=[group.occurrences[row] for row in rows],
                    crops=windows or None,
                )
            )
    return parts


def in_window(form: Form, bound: Bound, crop: Crop) -> tuple[Form, Tree]:
    """The form and the arguments of an objective at one position, as they are in a window."""
    place = np.asarray(crop.position, np.int32)
    if isinstance(form, NeuronForm):
        return NeuronForm(form.layer, central=False), (bound.arguments[0], place)
    measure = form.measure if isinstance(form, DirectionForm) else "dot"
    return DirectionForm(form.layers[0], "at", measure), (*bound.arguments[:2], place)


def _central(form: Form) -> bool:
    return (isinstance(form, NeuronForm) and form.central) or (
        isinstance(form, DirectionForm) and form.where == "centre"
    )


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


def slots_by_memory(network: Network, group: Group, count: int, views: int = 1) -> int:
    """Targets at a time, such that their activations fit `MEMORY_BUDGET`; evenly filled batches."""
    shapes = network.shapes(group.seen)
    last = network.layers.last(group.form.layers)
    values = 0
    for path in network.layers:
        values += int(np.prod(shapes.get(path, (0,))))
        if path == last:
            break
    fitting = max(1, min(-(-MOST_SLOTS // views), MEMORY_BUDGET // max(1, 4 * 2 * values * views)))
    batches = -(-count // fitting)
    return -(-count // batches)


def in_order(groups: Sequence[Group]) -> list[Bound]:
    """Bound objectives in the order in which they were given."""
    by_index = {index: bound for group in groups for index, bound in zip(group.indices, group.bound, strict=True)}
    return [by_index[index] for index in sorted(by_index)]
