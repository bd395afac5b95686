"""`render`: check the arguments, make jobs of them, run each, and collect the pictures."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from phosphene.ascent import Ascended, Job, Measured, Plan, ascend
from phosphene.ascent.coverage import coverage_of
from phosphene.backend import Network, Rule
from phosphene.data.declaration import ImagesLike
from phosphene.draws import content_key
from phosphene.errors import CoverageWarning, InvalidParameter, said
from phosphene.failures import no_gradient
from phosphene.kit.checks import a_network, boolean, canvas_size, integer, seed_of
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.provenance import describe
from phosphene.objectives import Objective
from phosphene.objectives.targets import MOST, as_objectives
from phosphene.parameterizations import Parameterization
from phosphene.regularizers.penalties import Penalty
from phosphene.regularizers.projections import Projection
from phosphene.rendering.job import MOST_SLOTS, check_together, jobs_of
from phosphene.rendering.presets import preset_named
from phosphene.rendering.recipe import MOST_STEPS, Recipe, recipe_of
from phosphene.rendering.result import Renders
from phosphene.rendering.serialization import plain_run
from phosphene.rendering.start import starts
from phosphene.transforms import Transform
from phosphene.types import Size, UserObjective

__all__ = ["render"]


def render(
    network: Network,
    objectives: str | Objective | UserObjective | Sequence[str | Objective | UserObjective],
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
    start: Renders | ImagesLike | None = None,
    slots: int | str | None = None,
    patience: int | None = None,
    warm_up: int = 64,
    crop: bool = True,
    snapshots: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Renders:
    """Find the images that maximise objectives, by gradient ascent (Erhan et al. 2009; Olah et al. 2017).

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    objectives : objective, str, function, or a sequence of them
        What to maximise: `phosphene.channel`, `phosphene.logit`, ...; text as on the command line, ``"coins"`` (a class),
        ``"stage3:5"``, ``"stage3:0-15"``, ``"stage3:5@2,3"`` or ``"stage3:all"``; or ``f(xp, activations) -> (N,)``.
    size : int or (int, int), optional
        Height and width of the pictures in pixels (default: the network's native input size).
    steps : int, optional
        Gradient evaluations per picture (default: the preset's).
    seed : int, default 0
        Random seed. The same seed gives the same pictures on one machine.
    preset : str, optional
        Name of a recipe, of which the next six arguments replace parts: "default", or a published one: "lucid", "lucent", "captum",
        "maco", "vit", "deepdream", "plain".
    parameterization : Parameterization, optional
        Of `phosphene.parameterizations`: ``fourier()``, ``pixel()``, ``maco()``, ``perturbation(...)``, or one of your own.
    transforms : sequence of Transform, optional
        Applied to the image at each step, before the network; ``[]`` for none.
    regularizers : sequence of Penalty or Projection, optional
        Penalties, which are subtracted from the objective, and projections, which change a pixel image after each step.
    optimizer : optional
        Of `phosphene.optimizers`: ``adam``, ``nadam``, ``sgd``; or an optax transformation (JAX), or a ``torch.optim`` factory
        (PyTorch).
    rule : str or Rule, optional
        Backward rule of rectified linear units at every step: "standard", "guided" (Springenberg et al. 2015), "deconvolution" or
        "redirected".
    start : Renders or images, optional
        Pictures to start from, one per objective or one for all of them: an earlier result, or anything that `phosphene.images`
        takes. An earlier result resumes from its parameters, with a fresh optimizer; other images are converted to the
        parameterization. Pictures and files are fitted to `size`.
    slots : int or "measured", optional
        Targets per batch (default: as many as memory allows). "measured" times a few batch sizes and takes the fastest per target,
        which may differ from run to run and so change the pictures by rounding. Pictures that depend on each other
        (`phosphene.objectives.diverse`, shared parameters) always share one batch.
    patience : int, optional
        Stop a target whose objective has not risen by 1% for this many steps.
    warm_up : int, default 64
        Steps during which units that are dead on the image are woken by a redirected backward rule (Olah et al. 2017); 0 for never.
    crop : bool, default True
        Whether to run the network on the receptive field alone, for objectives at one position of a layer that does not see the
        whole image. It is found and checked for each position; values equal those of the whole image up to rounding.
    snapshots : int, default 0
        Number of evenly spaced pictures to keep of each ascent, the last one included; see `Renders.animate`.
    progress : callable or bool, optional
        A function of `Progress` that may return False to stop; True for a progress bar, False for none (default: a bar in a
        terminal or a notebook). After an interrupt (Ctrl-C) the pictures so far are returned, with the status "interrupted".

    Returns
    -------
    Renders
        In the order of the objectives.

    Warns
    -----
    CoverageWarning
        When `rule` reaches no rectified linear unit, so that it has no effect.

    Raises
    ------
    InvalidParameter
        If a parameter is invalid; among its kinds are `UnknownLayer`, `UnknownClass` and `InvalidObjective`.
    """
    preset = "default" if preset is None else preset
    wanted, crop = _checked(network, objectives), boolean("crop", crop)
    canvas = canvas_size(network, size)
    recipe = recipe_of(
        network,
        preset_named(preset, canvas, network.input.size),
        steps=steps,
        parameterization=parameterization,
        transforms=transforms,
        regularizers=regularizers,
        optimizer=optimizer,
        rule=rule,
    )
    initial = starts(start, len(wanted), network.input, canvas, recipe.parameterization)
    seed = seed_of(seed)
    plan = Plan(
        steps=recipe.steps,
        slots=_slots(slots),
        warm_up=integer("warm_up", warm_up, limit=MOST_STEPS),
        patience=None if patience is None else integer("patience", patience, minimum=1, limit=MOST_STEPS),
        snapshots=_every(recipe.steps, integer("snapshots", snapshots, limit=MOST_STEPS)),
    )
    _check_memory(recipe, len(wanted), (*canvas, network.input.channels), snapshots)
    jobs = jobs_of(network, wanted, canvas, recipe, seed=seed, start=initial, warm_up=plan.warm_up > 0, crop=crop)
    check_together(jobs, plan)
    if recipe.rule is not None:
        _check_rule(jobs, recipe.rule if rule is None else rule)
    results = _ascend_all(jobs, plan, progress)
    settings = {
        **describe(network, seed, canvas),
        **({"random": True} if network.findings.random else {}),
        "run": plain_run(
            wanted,
            recipe,
            plan,
            preset=preset,
            canvas=canvas,
            seed=seed,
            crop=crop,
            start=start is not None,
            widths=[found.slots for found in results],
        ),
        "start": None if initial is None else content_key("start", initial),
        "batches": [[target.index for target in job.targets] for job in jobs],
        "seen": [list(job.program.view.pipeline.seen) for job in jobs],
    }
    return _collected(jobs, results, settings)


def _checked(
    network: Network, objectives: str | Objective | UserObjective | Sequence[str | Objective | UserObjective]
) -> list[Objective]:
    a_network(network)
    return as_objectives(objectives)


def _every(steps: int, snapshots: int) -> int | None:
    """Steps between two snapshots, of which there is at most one per step."""
    return -(-steps // snapshots) if snapshots else None


def _check_memory(recipe: Recipe, count: int, picture: tuple[int, ...], snapshots: int) -> None:
    """Refuse a call whose result and random transforms need more than `LARGEST_RESULT`, before anything is allocated."""
    needed = {
        "steps": 8
        * recipe.steps
        * (count + 9 * recipe.views * min(count, MOST_SLOTS)),  # histories, and 3 x 3 matrices
        "size": 8 * math.prod(picture) * count,
        "snapshots": math.prod(picture) * count * min(snapshots, recipe.steps),
    }
    name, most = max(needed.items(), key=operator.itemgetter(1))
    if most > LARGEST_RESULT:
        raise InvalidParameter(
            name,
            allowed=f"a result of at most {LARGEST_RESULT >> 30} GiB",
            received=said(f"one of {most / 2**30:,.0f} GiB for {count:,} picture{'s' * (count != 1)}"),
            fix="Render fewer or smaller pictures at once, or with fewer steps.",
        )


LARGEST_RESULT = 16 << 30
"""Most bytes of the arrays of a result."""


def _slots(slots: int | str | None) -> int | Measured | None:
    if slots is None:
        return None
    return (
        Measured() if isinstance(slots, str) and slots == "measured" else integer("slots", slots, minimum=1, limit=MOST)
    )


def _ascend_all(
    jobs: Sequence[Job], plan: Plan, progress: Callable[[Progress], bool | None] | bool | None
) -> list[Ascended]:
    """Run the jobs one after the other, with one progress for all of them."""
    results: list[Ascended] = []
    done = 0
    with reporter(progress, "render", plan.steps * sum(len(job.targets) for job in jobs)) as tell:
        for job in jobs:

            def told(state: Progress, before: int = done) -> bool | None:
                return tell(replace(state, done=before + state.done))

            results.append(ascend(job, replace(plan, progress=told)))
            if job.program.rule is not None:  # without a warm-up, a dead unit has no gradient either
                _check_reached(job, results[-1])
            done += plan.steps * len(job.targets)
    return results


def _check_rule(jobs: Sequence[Job], rule: str | Rule) -> None:
    """Warn if the backward rule of all steps reaches no rectified linear unit."""
    network = jobs[0].program.network
    views = dict.fromkeys((job.program.view.form, job.program.view.pipeline.seen) for job in jobs)
    with network.scope(), suppress(InvalidParameter):  # a backend may have rules without being able to count
        weights = network.weights()
        for form, seen in views:
            found = coverage_of(network, form, weights, seen, str(rule))
            if not found.reached:
                result = "the pictures are those of the network's own gradient"
                warnings.warn(found.warning(f"rule={rule!r}", result), CoverageWarning, stacklevel=3)
                return


def _check_reached(job: Job, found: Ascended) -> None:
    """Raise if no gradient arrived at any step although nothing was dead: the layers do not depend on the image."""
    unreached = [
        target.label
        for target, reached, steps in zip(job.targets, found.reached, found.steps, strict=True)
        if reached == 0 and steps > 0
    ]
    if len(unreached) == len(job.targets) and all(status != "nonfinite" for status in found.status):
        raise no_gradient("objectives", "objectives that depend on the image", unreached, job.program.form.layers)


def _collected(jobs: Sequence[Job], parts: Sequence[Ascended], settings: Mapping[str, Any]) -> Renders:
    targets = [target for job in jobs for target in job.targets]
    order = np.argsort([target.index for target in targets])

    def rows(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    status = [status for part in parts for status in part.status]
    same = len({len(part.snapshots) for part in parts}) == 1 and len(parts[0].snapshots) > 0
    return Renders(
        images=rows("images"),
        values=rows("values"),
        history=np.concatenate([part.history for part in parts], axis=1)[:, order],
        labels=tuple(targets[index].label for index in order),
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
