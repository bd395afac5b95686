"""From checked arguments to jobs: objectives are bound to the network, given a window if one is enough, and grouped by program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from phosphene.arrays import tree_map
from phosphene.ascent import AppliedRule, Job, Measured, Plan, Program, Target, View
from phosphene.ascent.pipeline import Pipeline, can_be_windowed, draw, pipeline, seen_size, windowed
from phosphene.backend import Network
from phosphene.draws import content_key, generator
from phosphene.errors import InvalidObjective, InvalidParameter, ModelFailed, said
from phosphene.kit.memory import MEMORY_BUDGET
from phosphene.objectives import Bound, Objective
from phosphene.objectives.forms import DirectionForm, Form, LinearForm, MatchForm, NeuronForm, ProductForm
from phosphene.objectives.location import ShapesAt
from phosphene.regularizers.penalties import Penalty
from phosphene.regularizers.projections import Projection
from phosphene.rendering.receptive_windows import Window, at_one_position, in_window, position_of, windows
from phosphene.rendering.recipe import Recipe
from phosphene.rules import Redirected
from phosphene.transforms.affine import Resize
from phosphene.types import Floats, Size, Tree

__all__ = ["MOST_SLOTS", "check_together", "jobs_of"]

MOST_SLOTS = 32
"""Most images in one batch, whatever memory allows."""


@dataclass(frozen=True)
class _Member:
    """An objective of the call, bound to the network.

    `index` is its place in the call, and `repeat` counts equal objectives before it. `window` is None where the steps see the
    whole image.
    """

    index: int
    bound: Bound
    repeat: int
    window: Window | None = None


def jobs_of(
    network: Network,
    objectives: Sequence[Objective],
    canvas: Size,
    recipe: Recipe,
    *,
    seed: int,
    start: Sequence[Floats] | None,
    warm_up: bool,
    crop: bool,
) -> list[Job]:
    """Everything that a call will compute, before any of it is computed.

    Parameters
    ----------
    network : Network
    objectives : sequence of Objective
    canvas : (int, int)
        Height and width of the images.
    recipe : Recipe
    seed : int
    start : sequence of array, optional
        Initial parameters, one per objective (default: random ones of the parameterization).
    warm_up : bool
        Whether dead units are woken, unless the recipe has a rule of its own.
    crop : bool
        Whether the network is run on a window where it is enough.

    Returns
    -------
    list of Job
        One per program; the indices of their targets are places in `objectives`.

    Raises
    ------
    InvalidParameter
        If an objective does not fit the network, or names positions that the transforms move.
    """
    with network.scope():
        shapes = ShapesAt(network, canvas)
        bound = [item.bind(network, shapes) for item in objectives]
        seen = _seen_size(network, recipe, canvas, {path for item in bound for path in item.form.layers})
    for item in bound:
        if not item.form.layers:
            raise InvalidObjective(
                "objectives",
                allowed="objectives that read a layer",
                received=said(item.label),
                fix="Add ph.channel(...).",
            )
    if seen != canvas:
        _check_positions(bound, recipe)
    stages = pipeline(recipe.transforms, canvas, seen)
    groups = _groups(bound)
    if crop and can_be_windowed(stages):
        groups = [part for group in groups for part in _split(network, group, seen)]
    jobs = []
    for group in groups:
        program = _program(network, group[0], recipe, stages, warm_up)
        targets = tuple(_target(program, member, recipe.steps, seed, start) for member in group)
        together = group[0].bound.company is not None or recipe.parameterization.together
        capacity = len(targets) if together else _capacity(network, program.view, len(targets))
        jobs.append(Job(program, targets, capacity, together, seed))
    return jobs


def check_together(jobs: Sequence[Job], plan: Plan) -> None:
    """Check that targets which depend on each other can share one batch from the first step to the last.

    Raises
    ------
    InvalidParameter
        If there are fewer slots than such targets, if targets may stop early, or if a step sees several copies of an image.
    """
    for job in jobs:
        count = len(job.targets)
        if not job.together:
            continue
        if isinstance(plan.slots, Measured) or (plan.slots is not None and plan.slots < count):
            raise InvalidParameter(
                "slots",
                allowed=f"None, or at least {count}, the number of pictures that depend on each other",
                received="measured" if isinstance(plan.slots, Measured) else plan.slots,
                fix="Leave it out; if memory does not suffice, ask for fewer pictures at once.",
            )
        if plan.patience is not None:
            raise InvalidParameter(
                "patience",
                allowed="None with pictures that depend on each other",
                received=plan.patience,
                fix="Leave it out: a picture that stopped would change the others.",
            )
        if job.program.view.copies > 1:
            raise InvalidParameter(
                "preset",
                allowed="a recipe of one view per step with pictures that depend on each other",
                received=said(f"one of {job.program.view.copies}"),
                fix='For example preset="default".',
            )


def _seen_size(network: Network, recipe: Recipe, canvas: Size, layers: Iterable[str]) -> Size:
    """Height and width of what the network is given: the transformed image, or the canvas if it has the layers at no other size."""
    seen = seen_size(recipe.transforms, canvas)
    if seen == canvas:
        return seen
    shapes = ShapesAt(network, seen)
    try:
        for path in layers:
            shapes[path]
    except ModelFailed:
        if any(isinstance(transform, Resize) for transform in recipe.transforms):
            raise
        return canvas  # it sees the middle of the padded image
    return seen


def _check_positions(bound: Sequence[Bound], recipe: Recipe) -> None:
    if any(_positional(item.form) for item in bound):
        raise InvalidParameter(
            "transforms",
            allowed="no pad or resize with an objective that names positions",
            received=recipe.transforms,
            fix="They would move the positions: leave ph.transforms.pad and ph.transforms.resize out.",
        )


def _groups(bound: Sequence[Bound]) -> list[list[_Member]]:
    """Objectives grouped by form; those that depend on each other are a group of their own."""
    groups: dict[tuple[Form, int | None], list[_Member]] = {}
    counts: Counter[str] = Counter()
    for index, item in enumerate(bound):
        key = content_key(item.form, item.key)
        company = None if item.company is None else id(item.company)
        groups.setdefault((item.form, company), []).append(_Member(index, item, counts[key]))
        counts[key] += 1
    return list(groups.values())


def _split(network: Network, group: list[_Member], seen: Size) -> list[list[_Member]]:
    """The members of a group for which a window is enough, and those that need the whole image."""
    form = group[0].bound.form
    if not at_one_position(form):
        return [group]
    layer = form.layers[0]
    cells = network.shapes(seen)[layer][:-1]
    if len(cells) != 2:
        return [group]
    positions = [position_of(member.bound, (cells[0], cells[1])) for member in group]
    unique = list(dict.fromkeys(positions))
    found = dict(zip(unique, windows(network, layer, unique, seen), strict=True))
    placed = [replace(member, window=found[at]) for member, at in zip(group, positions, strict=True)]
    parts = [[member for member in placed if (member.window is not None) == inside] for inside in (True, False)]
    return [part for part in parts if part]


def _program(network: Network, member: _Member, recipe: Recipe, stages: Pipeline, warm_up: bool) -> Program:
    """The program of a group, of which `member` is one."""
    if recipe.rule is not None:
        rule: AppliedRule | None = AppliedRule(recipe.rule, "always")
    else:
        rule = AppliedRule(Redirected(), "warm-up") if warm_up else None
    return Program(
        network=network,
        form=member.bound.form,
        view=View(
            form=_viewed(member)[0],
            pipeline=stages if member.window is None else windowed(stages, member.window.size),
            copies=recipe.views,
        ),
        parameterization=recipe.parameterization,
        penalties=tuple(item for item in recipe.regularizers if isinstance(item, Penalty)),
        projections=(
            *(item for item in recipe.regularizers if isinstance(item, Projection)),
            *recipe.parameterization.bounds(),
        ),
        optimizer=recipe.optimizer,
        canvas=(*stages.canvas, network.input.channels),
        rule=rule,
    )


def _target(program: Program, member: _Member, steps: int, seed: int, start: Sequence[Floats] | None) -> Target:
    view, bound = program.view, member.bound
    key = content_key(bound.form, bound.key, member.repeat)
    if start is None:
        initial = program.parameterization.initial(generator(seed, key, "initial"), program.canvas)
    else:
        initial = start[member.index]
    origin = (0, 0) if member.window is None else member.window.origin
    return Target(
        label=bound.label,
        index=member.index,
        initial=initial,
        arguments=tree_map(np.asarray, bound.arguments),
        view_arguments=tree_map(np.asarray, _viewed(member)[1]),
        draws=partial(draw, view.pipeline, seed, key, steps, origin, view.copies),
    )


def _viewed(member: _Member) -> tuple[Form, Tree]:
    """Form and arguments of an objective on what the steps see."""
    bound, window = member.bound, member.window
    return (bound.form, bound.arguments) if window is None else in_window(bound, window)


def _capacity(network: Network, view: View, count: int) -> int:
    """Targets per batch whose activations fit into `MEMORY_BUDGET`, such that batches are filled evenly."""
    shapes = network.shapes(view.pipeline.seen)
    last = network.layers.last(view.form.layers)
    values = 0
    for path in network.layers:
        values += int(np.prod(shapes.get(path, (0,))))
        if path == last:
            break
    fitting = max(1, min(-(-MOST_SLOTS // view.copies), MEMORY_BUDGET // max(1, 4 * 2 * values * view.copies)))
    batches = -(-count // fitting)
    return -(-count // batches)


def _positional(form: Form) -> bool:
    """Whether a form names positions of a layer."""
    if isinstance(form, LinearForm):
        return any(_positional(inner) for inner in form.forms)
    if isinstance(form, ProductForm):
        return _positional(form.left) or _positional(form.right)
    return (
        isinstance(form, MatchForm)
        or (isinstance(form, NeuronForm) and not form.central)
        or (isinstance(form, DirectionForm) and form.where == "at")
    )
