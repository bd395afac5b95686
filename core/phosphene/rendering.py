"""`render`: from objectives and a recipe to pictures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phosphene.arrays import tree_map
from phosphene.ascent import MEASURED, Ascended, Ascent, Plan, Progress, Target, ascend, fastest_slots, pipeline
from phosphene.ascent import cropped as pipeline_cropped
from phosphene.ascent.pipeline import draw
from phosphene.backend import Network, Rule
from phosphene.declaring import plain_run
from phosphene.draws import content_key, generator, integer
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.objectives import Objective, as_objective
from phosphene.objectives.forms import Form
from phosphene.parameterizations import Parameterization
from phosphene.penalties import Penalty
from phosphene.presets import Preset
from phosphene.progress import reporter
from phosphene.projections import Projection
from phosphene.recipes import recipe_of
from phosphene.results import Renders
from phosphene.rules import Redirected
from phosphene.starting import starts
from phosphene.targets import Group, bind_all, cropped, in_order, in_window, slots_by_memory
from phosphene.transforms import Transform
from phosphene.types import Floats, Size, Tree, UserObjective

__all__ = ["render"]


def render(
    network: Network,
    objectives: Objective | UserObjective | Sequence[Objective | UserObjective],
    *,
    size: int | Size | None = None,
    steps: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    parameterization: Parameterization | None = None,
    transforms: Sequence[Transform] | None = None,
    regularizers: Sequence[Penalty | Projection] | None = None,
    optimizer: Any = None,
    rule: str | Rule | None = None,
    start: Renders | ArrayLike | None = None,
    slots: int | str | None = None,
    patience: int | None = None,
    warm_up: int = 64,
    crop: bool = True,
    snapshots: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Renders:
    """Find the images that excite objectives most, by gradient ascent (Erhan et al. 2009; Olah et al. 2017).

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    objectives : objective, function, or a sequence of them
        What to maximise: `phosphene.channel`, `phosphene.logit`, ..., or ``f(xp, activations) -> (N,)``.
    size : int or (int, int), optional
        Height and width of the pictures in pixels; the network's own when absent.
    steps : int, optional
        Gradient evaluations a picture; the preset's when absent.
    seed : int, default 0
        Of all draws. The same seed gives the same pictures on one machine.
    preset : str, optional
        A recipe, of which the next five replace parts: "default", or a published one: "lucid", "lucent", "captum", "maco", "vit",
        "deepdream", "plain".
    parameterization : Parameterization, optional
        `phosphene.fourier()`, `phosphene.pixel()`, `phosphene.maco()`, `phosphene.perturbation(...)` or one of your own.
    transforms : sequence of Transform, optional
        Between the image and the network at each step; ``[]`` is none.
    regularizers : sequence of Penalty or Projection, optional
        Terms that are subtracted, and what is done to a pixel image after each step.
    optimizer : optional
        `phosphene.adam`, `phosphene.nadam`, `phosphene.sgd`, an optax transformation (JAX), or a ``torch.optim`` factory (PyTorch).
    rule : str or Rule, optional
        Backward rule of rectified linear units at every step: "standard", "guided" (Springenberg et al. 2015), "deconvolution" or
        "redirected".
    start : Renders or array-like (N, H, W, C) or (H, W, C), optional
        Pictures to start from, one an objective or one for all. Those of an earlier result go on where its parameters were, with a
        fresh optimizer; other images are brought into the parameterization.
    slots : int or "measured", optional
        Targets at a time; by memory when absent. "measured" tries a few batch sizes for a step or two and takes the fastest a
        target, which may be another one in another run: rounding depends on the batch. Pictures that depend on each other
        (`phosphene.diverse`, parameters that are shared) are always made at once.
    patience : int, optional
        Stop a target whose objective has not risen by 1% for so many steps.
    warm_up : int, default 64
        Steps during which units that are dead on the image are woken by a redirected backward rule; 0 is never.
    crop : bool, default True
        Whether the network is run on the receptive field alone, for objectives at one position of a layer that does not see the
        whole image. Found and checked for each; values are those of the whole, up to rounding.
    snapshots : int, default 0
        Pictures to keep on the way, evenly spaced, the last one included; `Renders.animate` shows them.
    progress : callable or bool, optional
        A function of `Progress` that may return False to stop; True or False for a bar or none. A bar in a terminal or a
        notebook when absent. What an interrupt (Ctrl-C) leaves is returned, marked "interrupted".

    Returns
    -------
    Renders
        In the order of the objectives.

    Raises
    ------
    InvalidParameter
        For a parameter outside what is allowed, among them `UnknownLayer`, `UnknownClass` and `InvalidObjective`.
    """
    if not isinstance(network, Network):
        raise InvalidParameter(
            "network", allowed="a network", received=network, fix="Wrap a model first: ph.wrap(model, size=(224, 224))."
        )
    wanted = [as_objective(item) for item in (objectives if isinstance(objectives, Sequence) else [objectives])]
    if not wanted:
        raise InvalidParameter("objectives", allowed="at least one objective", received=objectives, fix="ph.logit(0)")
    canvas = canvas_size(network, size)
    recipe = recipe_of(network, canvas, preset, steps, parameterization, transforms, regularizers, optimizer, rule)
    begin = starts(start, len(wanted), (*canvas, network.input.channels), recipe.parameterization)
    seed = integer("seed", seed)
    plan = Plan(
        steps=recipe.steps,
        slots=0 if slots is None else MEASURED if slots == "measured" else integer("slots", slots, minimum=1),
        warm_up=integer("warm_up", warm_up),
        patience=None if patience is None else integer("patience", patience, minimum=1),
        snapshots=-(-recipe.steps // integer("snapshots", snapshots)) if snapshots else 0,
    )
    groups = [
        part
        for group in bind_all(network, wanted, canvas, recipe)
        for part in (cropped(network, group, pipeline(recipe.transforms, canvas, group.window)) if crop else [group])
    ]
    for group in groups:
        if group.together or recipe.parameterization.together:
            _check_together(plan, recipe, slots, len(group.indices))
    report = reporter(progress, "render", recipe.steps * len(wanted))
    results: list[tuple[list[int], Ascended]] = []
    widths: list[int] = []
    with report as tell:
        done = 0
        for group in groups:
            ascended, wide = _run(network, group, canvas, recipe, plan, seed, begin, tell, done)
            results.append((group.indices, ascended))
            widths.append(wide)
            done += recipe.steps * len(group.indices)
    settings = {
        **describe(network, seed, canvas),
        "objectives": [repr(item) for item in wanted],
        "preset": preset or "default",
        "start": None if start is None else content_key("start", list(begin.values())),
        "recipe": {
            "parameterization": repr(recipe.parameterization),
            "transforms": [repr(item) for item in recipe.transforms],
            "regularizers": [repr(item) for item in recipe.regularizers],
            "optimizer": repr(recipe.optimizer),
            "rule": repr(recipe.rule),
            "views": recipe.views,
            "steps": recipe.steps,
            "warm_up": plan.warm_up,
            "patience": plan.patience,
        },
        "batches": [group.indices for group in groups],
        "seen": [list(group.seen) for group in groups],
        "run": plain_run(
            wanted, recipe, preset=preset or "default", canvas=canvas, seed=seed, warm_up=plan.warm_up, patience=plan.patience,
            slots=slots, widths=widths, crop=crop, start=start is not None,
        ),
    }  # fmt: skip
    return _collect(results, [bound.label for bound in in_order(groups)], settings)


def canvas_size(network: Network, size: int | Size | None) -> Size:
    """Height and width of the pictures, from what the user gave."""
    if size is None:
        return network.input.size
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or any(
        isinstance(side, bool) or not isinstance(side, (int, np.integer)) or side < 2 for side in pair
    ):
        raise InvalidParameter(
            "size", allowed="pixels: an integer of at least 2, or (height, width)", received=size, fix="size=96"
        )
    return int(pair[0]), int(pair[1])


def describe(network: Network, seed: int, canvas: Size) -> dict[str, Any]:
    """What a run was made with, as plain JSON."""
    versions = {"python": platform.python_version()}
    for package in ("phosphene", "numpy", network.backend.name):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "network": network.name,
        "backend": network.backend.name,
        "device": network.device,
        "dtype": network.dtype,
        "fingerprint": network.fingerprint(),
        "size": list(canvas),
        "seed": seed,
        "versions": versions,
    }


def _run(
    network: Network,
    group: Group,
    canvas: Size,
    recipe: Preset,
    plan: Plan,
    seed: int,
    begin: Mapping[int, Floats],
    tell: Callable[[Progress], bool | None],
    done: int,
) -> tuple[Ascended, int]:
    shape = (*canvas, network.input.channels)
    penalties = tuple(item for item in recipe.regularizers if isinstance(item, Penalty))
    projections = tuple(item for item in recipe.regularizers if isinstance(item, Projection))
    stages = pipeline(recipe.transforms, canvas, group.window)
    inside: list[tuple[Form, Tree]] | None = None
    if group.crops is not None:
        stages = pipeline_cropped(stages, group.seen) or stages
        inside = [in_window(group.form, bound, crop) for bound, crop in zip(group.bound, group.crops, strict=True)]
    ascent = Ascent(
        network=network,
        form=group.form if inside is None else inside[0][0],
        parameterization=recipe.parameterization,
        pipeline=stages,
        penalties=penalties,
        projections=(*projections, *recipe.parameterization.bounds()),
        optimizer=recipe.optimizer,
        canvas=shape,
        rule=recipe.rule or (Redirected() if plan.warm_up else None),
        whole=None if inside is None else group.form,
        always=recipe.rule is not None,
        views=recipe.views,
    )
    together = group.together or recipe.parameterization.together
    targets = []
    for row, (bound, occurrence) in enumerate(zip(group.bound, group.occurrences, strict=True)):
        key = content_key(bound.form, bound.key, occurrence)
        given = begin.get(group.indices[row])
        initial = recipe.parameterization.initial(generator(seed, key, "initial"), shape) if given is None else given
        origin = (0, 0) if group.crops is None else group.crops[row].origin
        targets.append(
            Target(
                initial=initial,
                arguments=tree_map(np.asarray, bound.arguments if inside is None else inside[row][1]),
                draws=partial(draw, ascent.pipeline, seed, key, recipe.steps, origin, recipe.views),
                whole=None if inside is None else tree_map(np.asarray, bound.arguments),
            )
        )

    def progress(state: Progress) -> bool | None:
        return tell(replace(state, done=state.done + done))

    most = len(targets) if together else slots_by_memory(network, group, len(targets), recipe.views)
    wide = most if together else plan.slots or most
    if plan.slots == MEASURED and not together:
        wide = fastest_slots(ascent, targets, replace(plan, progress=None), most)
    ascended = ascend(ascent, targets, replace(plan, slots=wide, progress=progress))
    if ascent.rule is not None:  # without a warm-up a dead unit moves nothing either
        _check_reached(group, ascended)
    return ascended, wide


def _check_together(plan: Plan, recipe: Preset, slots: int | str | None, count: int) -> None:
    """Pictures that depend on each other, `count` of them, are made side by side from beginning to end, each seen once a step."""
    if plan.slots and (plan.slots == MEASURED or plan.slots < count):
        raise InvalidParameter(
            "slots", allowed=f"None, or at least {count}: as many pictures as depend on each other", received=slots,
            fix="Leave it out; where memory does not suffice, ask for fewer pictures at once.",
        )  # fmt: skip
    if plan.patience is not None:
        raise InvalidParameter(
            "patience", allowed="None with pictures that depend on each other", received=plan.patience,
            fix="One that stopped would change the others.",
        )  # fmt: skip
    if recipe.views > 1:
        raise InvalidParameter(
            "preset", allowed="a recipe of one view a step with pictures that depend on each other",
            received=said(f"one of {recipe.views}"), fix='preset="default"',
        )  # fmt: skip


def _check_reached(group: Group, ascended: Ascended) -> None:
    """A gradient that was exactly zero at every step although nothing was dead: the layer does not see the image."""
    unreached = [
        bound.label
        for bound, reached, steps in zip(group.bound, ascended.reached, ascended.steps, strict=True)
        if reached == 0 and steps > 0
    ]
    if len(unreached) == len(group.bound) and all(status != "nonfinite" for status in ascended.status):
        raise InvalidObjective(
            "objectives", allowed="objectives that depend on the image", received=unreached,
            fix=f"No gradient reaches the image from {', '.join(group.form.layers)}: is the layer computed from it, "
            "and by operations that can be differentiated?",
        )  # fmt: skip


def _collect(results: Sequence[tuple[list[int], Ascended]], labels: list[str], settings: Mapping[str, Any]) -> Renders:
    order = np.argsort(np.concatenate([np.asarray(indices) for indices, _ in results]))
    parts = [part for _, part in results]

    def rows(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    status = [status for part in parts for status in part.status]
    same = len({len(part.snapshots) for part in parts}) == 1 and len(parts[0].snapshots) > 0
    return Renders(
        images=rows("images"),
        values=rows("values"),
        history=np.concatenate([part.history for part in parts], axis=1)[:, order],
        labels=tuple(labels),
        status=tuple(status[index] for index in order),
        steps=rows("steps"),
        awake_at=rows("awake_at"),
        scores={},
        settings=settings,
        snapshots=np.concatenate([part.snapshots for part in parts], axis=1)[:, order] if same else None,
        opacity=rows("opacity") if all(part.opacity is not None for part in parts) else None,
        parameters=np.stack([own for part in parts for own in part.parameters])[order],
        seconds=sum(part.seconds for part in parts),
        compile_seconds=sum(part.compile_seconds for part in parts),
    )
