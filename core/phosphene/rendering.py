"""`render`: from objectives and a recipe to pictures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from phosphene.arrays import tree_map
from phosphene.ascent import MEASURED, Ascended, Ascent, Plan, Progress, Target, ascend, fastest_slots, pipeline
from phosphene.ascent import cropped as pipeline_cropped
from phosphene.ascent.pipeline import draw
from phosphene.backend import Network
from phosphene.draws import content_key, generator, integer
from phosphene.errors import InvalidObjective, InvalidParameter
from phosphene.objectives import Objective, as_objective
from phosphene.objectives.forms import Form
from phosphene.parameterizations import Parameterization
from phosphene.penalties import Penalty
from phosphene.presets import Preset, preset_named
from phosphene.progress import reporter
from phosphene.projections import Projection
from phosphene.results import Renders
from phosphene.rules import Redirected
from phosphene.targets import Group, bind_all, cropped, in_order, in_window, slots_by_memory
from phosphene.transforms import Transform
from phosphene.types import Size, Tree, UserObjective

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
    slots: int | str | None = None,
    patience: int | None = None,
    warm_up: int = 64,
    crop: bool = True,
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
        "default", "lucid" or "plain": a recipe, of which the next four replace parts.
    parameterization : Parameterization, optional
        `phosphene.fourier()` or `phosphene.pixel()`.
    transforms : sequence of Transform, optional
        Between the image and the network at each step; ``[]`` is none.
    regularizers : sequence of Penalty or Projection, optional
        Terms that are subtracted, and what is done to a pixel image after each step.
    optimizer : optional
        `phosphene.adam`, `phosphene.sgd`, an optax transformation (JAX), or a ``torch.optim`` factory (PyTorch).
    slots : int or "measured", optional
        Targets at a time; by memory when absent. "measured" tries a few batch sizes for a step or two and takes the fastest a
        target, which may be another one in another run: rounding depends on the batch.
    patience : int, optional
        Stop a target whose objective has not risen by 1% for so many steps.
    warm_up : int, default 64
        Steps during which units that are dead on the image are woken by a redirected backward rule; 0 is never.
    crop : bool, default True
        Whether the network is run on the receptive field alone, for objectives at one position of a layer that does not see the
        whole image. Found and checked for each; values are those of the whole, up to rounding.
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
    recipe = _recipe(network, canvas, preset, steps, parameterization, transforms, regularizers, optimizer)
    seed = integer("seed", seed)
    plan = Plan(
        steps=recipe.steps,
        slots=0 if slots is None else MEASURED if slots == "measured" else integer("slots", slots, minimum=1),
        warm_up=integer("warm_up", warm_up),
        patience=None if patience is None else integer("patience", patience, minimum=1),
    )
    groups = [
        part
        for group in bind_all(network, wanted, canvas, recipe)
        for part in (cropped(network, group, pipeline(recipe.transforms, canvas, group.window)) if crop else [group])
    ]
    report = reporter(progress, "render", recipe.steps * len(wanted))
    results: list[tuple[list[int], Ascended]] = []
    with report as tell:
        done = 0
        for group in groups:
            results.append((group.indices, _run(network, group, canvas, recipe, plan, seed, tell, done)))
            done += recipe.steps * len(group.indices)
    settings = {
        **describe(network, seed, canvas),
        "objectives": [repr(item) for item in wanted],
        "preset": preset or "default",
        "recipe": {
            "parameterization": repr(recipe.parameterization),
            "transforms": [repr(item) for item in recipe.transforms],
            "regularizers": [repr(item) for item in recipe.regularizers],
            "optimizer": repr(recipe.optimizer),
            "steps": recipe.steps,
            "warm_up": plan.warm_up,
            "patience": plan.patience,
        },
        "batches": [group.indices for group in groups],
        "seen": [list(group.seen) for group in groups],
    }
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


def _recipe(
    network: Network,
    canvas: Size,
    preset: str | None,
    steps: int | None,
    parameterization: Parameterization | None,
    transforms: Sequence[Transform] | None,
    regularizers: Sequence[Penalty | Projection] | None,
    optimizer: Any,
) -> Preset:
    recipe = preset_named(preset or "default", canvas)
    if steps is not None:
        recipe = replace(recipe, steps=integer("steps", steps, minimum=1))
    if parameterization is not None:
        if not isinstance(parameterization, Parameterization):
            raise InvalidParameter(
                "parameterization",
                allowed="a parameterization",
                received=parameterization,
                fix="ph.fourier() or ph.pixel()",
            )
        recipe = replace(recipe, parameterization=parameterization)
    if transforms is not None:
        recipe = replace(recipe, transforms=tuple(transforms))
    if regularizers is not None:
        recipe = replace(recipe, regularizers=tuple(regularizers))
    for index, item in enumerate(recipe.regularizers):
        if not isinstance(item, (Penalty, Projection)):
            raise InvalidParameter(
                f"regularizers[{index}]",
                allowed="a penalty or a projection",
                received=item,
                fix="ph.total_variation(2.0)",
            )
        if isinstance(item, Projection) and not recipe.parameterization.pixelwise:
            raise InvalidParameter(
                f"regularizers[{index}]", allowed=f"penalties with {recipe.parameterization!r}", received=item,
                fix="Blur, decay and clipping act on pixels: add parameterization=ph.pixel().",
            )  # fmt: skip
    if optimizer is not None:
        ours = all(hasattr(optimizer, name) for name in ("init", "update", "restart"))
        recipe = replace(recipe, optimizer=optimizer if ours else network.backend.optimizer(optimizer))
    return recipe


def _run(
    network: Network,
    group: Group,
    canvas: Size,
    recipe: Preset,
    plan: Plan,
    seed: int,
    tell: Callable[[Progress], bool | None],
    done: int,
) -> Ascended:
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
        rule=Redirected() if plan.warm_up else None,
        whole=None if inside is None else group.form,
    )
    targets = []
    for row, (bound, occurrence) in enumerate(zip(group.bound, group.occurrences, strict=True)):
        key = content_key(bound.form, bound.key, occurrence)
        initial = recipe.parameterization.initial(generator(seed, key, "initial"), shape)
        origin = (0, 0) if group.crops is None else group.crops[row].origin
        targets.append(
            Target(
                initial=initial,
                arguments=tree_map(np.asarray, bound.arguments if inside is None else inside[row][1]),
                draws=partial(draw, ascent.pipeline, seed, key, recipe.steps, origin),
                whole=None if inside is None else tree_map(np.asarray, bound.arguments),
            )
        )

    def progress(state: Progress) -> bool | None:
        return tell(replace(state, done=state.done + done))

    most = slots_by_memory(network, group, len(targets))
    wide = plan.slots or most
    if plan.slots == MEASURED:
        wide = fastest_slots(ascent, targets, replace(plan, progress=None), most)
    ascended = ascend(ascent, targets, replace(plan, slots=wide, progress=progress))
    if ascent.rule is not None:  # without a warm-up a dead unit moves nothing either
        _check_reached(group, ascended)
    return ascended


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
        seconds=sum(part.seconds for part in parts),
        compile_seconds=sum(part.compile_seconds for part in parts),
    )
