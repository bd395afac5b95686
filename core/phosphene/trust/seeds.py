"""Consistency over seeds: the objectives of a result, runs with other seeds, pictures of other units, and their distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import listed
from phosphene.objectives import Bound, Objective, channel
from phosphene.objectives.declarations import Channel, Logit, Neuron
from phosphene.rendering.call import render
from phosphene.rendering.result import Renders
from phosphene.rendering.serialization import read_run
from phosphene.trust.judges import Judge
from phosphene.trust.natural_images import bound_at, channel_of, competitors
from phosphene.trust.scores import discriminability
from phosphene.types import Floats

__all__ = ["consistency", "more_runs", "objectives_of", "of_one_layer"]

OTHERS = 8
"""Smallest number of units of a layer whose pictures are compared."""


def objectives_of(network: Network, renders: Renders) -> list[Objective]:
    """Read the objectives of the pictures from the settings of a result.

    Raises
    ------
    InvalidParameter
        When the settings do not contain them, or several have the label of one picture.
    """
    fix = "Give one objective per picture: objectives=[...]."
    if "run" not in renders.settings:
        raise InvalidParameter(
            "renders",
            allowed="a result of ph.render whose settings contain its objectives",
            received=said("one without them"),
            fix=fix,
        )
    wanted = read_run(renders.settings["run"], "run").objectives
    labels = [item.label for item in bound_at(network, wanted, renders.images)]
    if tuple(labels) == renders.labels:
        return wanted
    if len(set(labels)) < len(labels):
        raise InvalidParameter(
            "renders",
            allowed="pictures with different labels, or all pictures of a call",
            received=renders.labels,
            fix=fix,
        )
    by_label = dict(zip(labels, wanted, strict=True))
    if any(label not in by_label for label in renders.labels):
        raise InvalidParameter(
            "renders", allowed=f"pictures labelled {listed(labels)}", received=renders.labels, fix=fix
        )
    return [by_label[label] for label in renders.labels]


def more_runs(
    network: Network, objectives: Sequence[Objective], bound: Sequence[Bound], runs: Sequence[Renders], seeds: int
) -> tuple[list[Renders], dict[int, NDArray[np.float32]]]:
    """Render runs with further seeds up to `seeds`, and pictures of other units for layers with too few.

    Returns
    -------
    (list of Renders, dict of int to (K, H, W, C))
        The runs, and by row of an objective the pictures of other channels of its layer.
    """
    found = list(runs)
    if seeds == 1 or "run" not in runs[0].settings:
        return found, {}
    options = _options(runs[0].settings["run"])
    taken = {int(run.settings["seed"]) for run in runs}
    following = (seed for seed in range(options["seed"] + 1, options["seed"] + 1 + len(runs) + seeds))
    while len(found) < seeds:
        seed = next(seed for seed in following if seed not in taken)
        found.append(render(network, objectives, progress=False, **{**options, "seed": seed}))
    groups: dict[Any, list[int]] = {}
    for row, item in enumerate(bound):
        if competitors(item) is not None:
            groups.setdefault(item.form.layers, []).append(row)
    others: dict[int, NDArray[np.float32]] = {}
    for rows in groups.values():
        own = {channel_of(bound[row]) for row in rows}
        count = network.layers[bound[rows[0]].form.layers[0]].channels
        free = [index for index in range(count) if index not in own]
        missing = min(OTHERS - len(rows), len(free))
        if missing <= 0:
            continue
        chosen = generator(options["seed"], "other units", *bound[rows[0]].form.layers).permutation(free)[:missing]
        wanted = [_beside(objectives[rows[0]], bound[rows[0]], int(index)) for index in chosen]
        images = render(network, wanted, progress=False, **options).images
        others |= dict.fromkeys(rows, images)
    return found, others


def consistency(
    judge: Judge, runs: Sequence[NDArray[np.float32]], bound: Sequence[Bound], others: dict[int, NDArray[np.float32]]
) -> Floats:
    """Discriminability (d') of distances among pictures of one unit over seeds from distances to pictures of other units.

    Parameters
    ----------
    judge : Judge
    runs : sequence of (U, H, W, C)
        Pictures, one array per seed.
    bound : sequence of Bound
        Objectives; those of one layer are compared.
    others : dict of int to (K, H, W, C)
        Pictures of further units, by row of the objective.

    Returns
    -------
    numpy.ndarray (U,)
        NaN with one seed, or without another unit.
    """
    found = np.full(len(bound), np.nan)
    if len(runs) < 2:
        return found
    between = {
        (one, two): np.asarray(judge(runs[one], runs[two]), np.float64)
        for one in range(len(runs))
        for two in range(one)
    }
    for row, beside in enumerate(of_one_layer(bound)):
        same = [float(distance[row, row]) for distance in between.values()]
        unlike = [distance[row, beside] for distance in between.values()]
        unlike += [distance[beside, row] for distance in between.values()]
        if row in others:
            unlike += [np.asarray(judge(run[row : row + 1], others[row]), np.float64)[0] for run in runs]
        flat = np.concatenate(unlike) if unlike else np.zeros(0)
        found[row] = discriminability(-np.asarray(same), -flat)
    return found


def of_one_layer(bound: Sequence[Bound]) -> list[list[int]]:
    """For each objective, the rows of the other objectives that read the same layers."""
    layers = [item.form.layers for item in bound]
    return [
        [other for other in range(len(bound)) if other != row and layers[other] == layers[row]]
        for row in range(len(bound))
    ]


def _options(run: Any) -> dict[str, Any]:
    read = read_run(run, "run")
    return {**read.options, "slots": read.slots}


def _beside(item: Objective, bound: Bound, index: int) -> Objective:
    """The same objective for another channel."""
    if isinstance(item, (Channel, Neuron)):
        return replace(item, channel=index)
    if isinstance(item, Logit):
        return replace(item, wanted=index)
    return channel(bound.form.layers[0], index)
