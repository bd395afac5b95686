"""`attribute`: which parts of an image a target depends on, with controls of the map's faithfulness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import stack_trees
from phosphene.ascent.coverage import Coverage, coverage_of
from phosphene.attribution.default_layer import default_layer
from phosphene.attribution.evaluation import Counter, MethodOutput, Task, baseline
from phosphene.attribution.explained import bind_targets, check_layer
from phosphene.attribution.methods import METHODS, MOST_SAMPLES, MOST_STEPS, Method
from phosphene.attribution.perturbation import area, curves
from phosphene.attribution.randomization import sanity as sanity_of
from phosphene.attribution.reach import check_reached, warn_flat
from phosphene.attribution.result import PERCENTILE, Attribution
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.errors import CoverageWarning, InvalidParameter
from phosphene.kit.arguments import capped
from phosphene.kit.checks import a_network, boolean, choice, integer, listed, number, pair_of, seed_of
from phosphene.kit.finite import NotFinite
from phosphene.kit.maps import normalised, upsample
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.provenance import describe
from phosphene.objectives import Objective
from phosphene.objectives.forms import Form
from phosphene.types import Size, UserObjective

__all__ = ["attribute"]

Target = int | str | Objective | UserObjective
Columns = dict[str, NDArray[Any]]


def attribute(
    network: Network,
    images: ImagesLike,
    target: Target | Sequence[Target] | None = None,
    *,
    method: str = "gradcam",
    layer: str | None = None,
    sanity: bool = False,
    faithfulness: bool = False,
    batch: int = 16,
    seed: int = 0,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    **options: Any,
) -> Attribution:
    """Compute which parts of each image a target depends on.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : images
        Anything that `phosphene.images` takes.
    target : int, str, objective, function, or a sequence of them, optional
        What is explained: a class by index or name, any objective (``ph.channel("stage3", 5)``), or a sequence with one per
        image (default: the predicted class of each image).
    method : str, default "gradcam"
        "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "gradcam", "gradcam++", "hirescam", "layercam",
        "guided_gradcam", "integrated_gradients", "smoothgrad" or "occlusion".
    layer : str, optional
        Layer of a class activation map: one with rows and columns; with patch tokens, which are arranged in their grid; with
        depth, rows and columns; or with another sequence of tokens or steps. Default: from the target back, the last one with
        more than one position that depends on the image, at which the target has a gradient, and which does not hold the
        values of the target's own layer; of several modules with the same output, the outermost.
    sanity : bool, default False
        Repeat the attribution with weights randomised from the top layer down (Adebayo et al. 2018), and report the similarity
        of the maps in `Attribution.sanity`.
    faithfulness : bool, default False
        Delete and insert pixels in the order of the map (Petsiuk et al. 2018); the curves are in `Attribution.curves`, the areas
        under them in `Attribution.scores`.
    batch : int, default 16
        Batch size.
    seed : int, default 0
        Random seed.
    progress : callable or bool, optional
        A function of `Progress`, whose unit is an image that the network has seen; True for a progress bar, False for none
        (default: a bar in a terminal or notebook). Half of the passes make no map, so that returning False has no effect: to stop,
        raise an exception.
    **options
        Options of the method, with their defaults: ``baseline``, a number or an image (H, W, C) in [0, 1] (gradient_x_input and
        integrated_gradients: 0; occlusion: 0.5), ``steps`` (integrated_gradients: as many as completeness within 1% needs),
        ``samples`` and ``deviation`` (smoothgrad: 32, and 0.15 of the image's range), ``window`` and ``stride`` (occlusion: an
        eighth of the side, and the window).

    Returns
    -------
    Attribution

    Raises
    ------
    UnknownLayer, UnknownClass
        For a layer or a class that the network does not have.
    InvalidParameter
        For an unknown method or option, and for a layer without positions.
    InvalidObjective
        For a target without a gradient on these images and on others that are tried, because the model cannot be differentiated.
    InvalidImages
        For images of the wrong shape, dtype or range.

    Warns
    -----
    CoverageWarning
        When a method with a backward rule reached no rectified linear unit, so that its maps are the plain gradient.
    ModelWarning
        For images on which the gradient is exactly zero, for values that are not finite, and for a class activation map with one
        position or without differences.
    """
    a_network(network)
    chosen = _method(method)
    given = _options(method, chosen, options)
    seed, batch = seed_of(seed), integer("batch", batch, minimum=1)
    sanity, faithfulness = boolean("sanity", sanity), boolean("faithfulness", faithfulness)
    if layer is not None:
        network.layers[layer]
    pictures = read_images(images, network.input)
    size = (pictures.shape[1], pictures.shape[2])
    parts: list[tuple[list[int], Columns]] = []
    coverages: list[Coverage] = []
    with network.scope(), reporter(progress, "attribute", len(pictures)) as tell:
        weights, counter = network.weights(), Counter(tell)
        bound = bind_targets(network, pictures, target, batch)
        groups: dict[Form, list[int]] = {}
        for index, item in enumerate(bound):
            groups.setdefault(item.form, []).append(index)
        tasks = []
        for form, rows in groups.items():
            arguments = stack_trees([bound[row].arguments for row in rows])
            task = Task(network, weights, form, arguments, pictures[rows], None, batch, seed, given, counter)
            if chosen.layered:
                path = default_layer(task) if layer is None else check_layer(network, form, layer, method, size)
                task = replace(task, layer=path)
            tasks.append((rows, task))
        _check_one_layer([task for _, task in tasks])
        for rows, task in tasks:
            parts.append((rows, _compute(task, chosen, size, faithfulness, sanity)))
            if chosen.rule:
                coverages.append(coverage_of(network, task.form, weights, size, chosen.rule))
        order = np.argsort(np.concatenate([rows for rows, _ in parts]))
        whole = {name: np.concatenate([columns[name] for _, columns in parts])[order] for name in parts[0][1]}
        labels, shown = tuple(item.label for item in bound), tasks[0][1].layer
        arrived = whole.get("arrived")
        if arrived is not None:
            check_reached(tasks[0][1], arrived, labels, bool(chosen.rule))
        if shown is not None and whole["raw"].shape != pictures.shape:
            warn_flat(network.name, shown, whole["raw"], labels, arrived)
        bad = NotFinite(network.name)
        bad.add(network.layers.last(tasks[0][1].form.layers), whole["values"])
        bad.add(f"{method} of {labels[0]}" + (", ..." if len(set(labels)) > 1 else ""), whole["raw"])
        bad.warn()
    # With targets of several kinds, the line is that of the first one that the rule reaches.
    coverage = next((found for found in coverages if found.reached), coverages[0] if coverages else None)
    if any(not found.reached for found in coverages):
        silent = next(found for found in coverages if not found.reached)
        plain = "are the plain gradient" + (" times Grad-CAM" if chosen.layered else "")
        some = "its maps" if len(coverages) == 1 else "the maps of some targets"
        warnings.warn(silent.warning(f"method {method!r}", f"{some} {plain}"), CoverageWarning, stacklevel=2)
    settings = {**describe(network, seed, size), "method": method, "layer": shown}
    settings["options"] = {name: np.asarray(value).tolist() for name, value in given.items()}
    return Attribution(
        images=pictures,
        raw=whole["raw"],
        maps=whole["maps"],
        values=whole["values"],
        labels=labels,
        method=method,
        source=chosen.source,
        signed=chosen.signed,
        layer=shown,
        scores=_named(whole, "score"),
        curves={name: rows.T for name, rows in _named(whole, "curve").items()},
        sanity=_named(whole, "sanity"),
        coverage="" if coverage is None else str(coverage),
        settings=settings,
    )


def _check_one_layer(tasks: Sequence[Task]) -> None:
    """Targets that read different layers may have different default layers, whose maps differ in size."""
    found = list(dict.fromkeys(task.layer for task in tasks))
    if len(found) > 1:
        raise InvalidParameter(
            "layer",
            allowed="one layer for targets that read different layers",
            received=None,
            fix=f"By default these targets would be explained at {listed(found)}: name one that comes before all of them.",
        )


def _compute(task: Task, method: Method, size: Size, faithfulness: bool, sanity: bool) -> Columns:
    """Everything computed for one task, one row per image."""

    def to_maps(computed: MethodOutput) -> NDArray[np.float32]:
        return _maps(computed, size, method.signed)

    found = method.compute(task)
    columns: Columns = {"raw": found.raw, "maps": to_maps(found), "values": found.values}
    if found.arrived is not None:
        columns["arrived"] = found.arrived
    columns |= {f"score {name}": score for name, score in found.scores.items()}
    if faithfulness:
        for name, curve in zip(("deletion", "insertion"), curves(task, columns["maps"]), strict=True):
            columns |= {f"curve {name}": curve.T, f"score {name} area": area(curve)}
    if sanity:
        columns |= {f"sanity {name}": rows for name, rows in sanity_of(task, method.compute, to_maps).items()}
    return columns


def _maps(computed: MethodOutput, size: Size, signed: bool) -> NDArray[np.float32]:
    """Maps at the size of the image, scaled; see `phosphene.Attribution`."""
    raw = computed.raw if computed.spread is None else computed.spread
    percentile = None
    if raw.ndim == 4:
        raw, percentile = raw.sum(axis=-1) if signed else np.abs(raw).max(axis=-1), PERCENTILE
    return normalised(upsample(raw if signed else np.maximum(raw, 0), size), percentile)


def _method(name: str) -> Method:
    return METHODS[choice("method", name, METHODS)]


def _options(name: str, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(method.options)
    for option in given:
        if option not in known:
            raise InvalidParameter(
                "options",
                allowed=f"{listed(known) or 'no option'} with method={name!r}",
                received=option,
                fix="help(ph.attribute) lists the options of each method.",
            )
    checked = {**known, **given}
    for option, check in CHECKS.items():
        if option in checked:
            checked[option] = check(checked[option])
    return checked


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "steps": lambda value: None if value is None else capped("steps", value, minimum=2, most=MOST_STEPS),
    "samples": lambda value: capped("samples", value, minimum=1, most=MOST_SAMPLES),
    "deviation": lambda value: number("deviation", value, minimum=0.0, maximum=1e3, example=0.15),
    "baseline": baseline,
    "window": lambda value: value if value is None or pair_of("window", value) else None,
    "stride": lambda value: value if value is None or pair_of("stride", value) else None,
}
"""Checks of options that need no image, by name; they come before any pass through the network."""


def _named(whole: Columns, kind: str) -> Columns:
    return {name.removeprefix(f"{kind} "): column for name, column in whole.items() if name.startswith(f"{kind} ")}
