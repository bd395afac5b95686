"""`attribute`: which parts of an image a target depends on, with controls of the map's faithfulness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.arrays import stack_trees
from phosphene.attribution.evaluation import MethodOutput, Task
from phosphene.attribution.explained import bind_targets, layer_for
from phosphene.attribution.methods import METHODS, Method
from phosphene.attribution.perturbation import area, curves
from phosphene.attribution.randomization import sanity as sanity_of
from phosphene.attribution.result import Attribution
from phosphene.backend import Network
from phosphene.errors import InvalidParameter
from phosphene.kit.checks import choice, integer, listed
from phosphene.kit.images import check_images
from phosphene.kit.maps import normalised, upsample
from phosphene.kit.provenance import describe
from phosphene.objectives import Objective
from phosphene.objectives.forms import Form
from phosphene.types import Size, UserObjective

__all__ = ["attribute"]

Target = int | str | Objective | UserObjective
Columns = dict[str, NDArray[Any]]


def attribute(
    network: Network,
    images: ArrayLike,
    target: Target | Sequence[Target] | None = None,
    *,
    method: str = "gradcam",
    layer: str | None = None,
    sanity: bool = False,
    faithfulness: bool = False,
    batch: int = 16,
    seed: int = 0,
    **options: Any,
) -> Attribution:
    """Compute which parts of each image a target depends on.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    target : int, str, objective, function, or a sequence of them, optional
        What is explained: a class by index or name, any objective (``ph.channel("stage3", 5)``), or a sequence with one per
        image (default: the predicted class of each image).
    method : str, default "gradcam"
        "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "gradcam", "gradcam++", "hirescam", "layercam",
        "guided_gradcam", "integrated_gradients", "smoothgrad" or "occlusion".
    layer : str, optional
        Layer of a class activation map: one with rows and columns, or with patch tokens, which are arranged in their grid
        (default: the last one before the target at whose positions the target has a gradient).
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
    **options
        Options of the method, with their defaults: ``baseline`` (gradient_x_input and integrated_gradients: 0; occlusion: 0.5),
        ``steps`` (integrated_gradients: as many as completeness within 1% needs), ``samples`` and ``deviation`` (smoothgrad: 32,
        and 0.15 of the image's range), ``window`` and ``stride`` (occlusion: an eighth of the side, and the window).

    Returns
    -------
    Attribution

    Raises
    ------
    UnknownLayer, UnknownClass
        For a layer or a class that the network does not have.
    InvalidParameter
        For an unknown method or option, and for a layer without positions.
    InvalidImages
        For images of the wrong shape, dtype or range.
    """
    if not isinstance(network, Network):
        raise InvalidParameter(
            "network",
            allowed="a Network",
            received=network,
            fix="Wrap the model first: ph.wrap(model, size=(224, 224)).",
        )
    chosen = _method(method)
    given = _options(method, chosen, options)
    pictures = check_images(images, network.input)
    seed, batch = integer("seed", seed), integer("batch", batch, minimum=1)
    size = (pictures.shape[1], pictures.shape[2])
    parts: list[tuple[list[int], Columns]] = []
    coverage = path = ""
    with network.scope():
        weights = network.weights()
        bound = bind_targets(network, pictures, target, batch)
        groups: dict[Form, list[int]] = {}
        for index, item in enumerate(bound):
            groups.setdefault(item.form, []).append(index)
        for form, rows in groups.items():
            arguments = stack_trees([bound[row].arguments for row in rows])
            task = Task(network, weights, form, arguments, pictures[rows], None, batch, seed, given)
            path = layer_for(network, form, layer, method, task.gradient_sizes) if chosen.layered else ""
            task = replace(task, layer=path or None)
            columns, line = _compute(task, chosen, size, faithfulness, sanity)
            parts.append((rows, columns))
            coverage = coverage or line
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    whole = {name: np.concatenate([columns[name] for _, columns in parts])[order] for name in parts[0][1]}
    settings = {**describe(network, seed, size), "method": method, "layer": path or None}
    settings["options"] = {name: np.asarray(value).tolist() for name, value in given.items()}
    return Attribution(
        images=pictures,
        raw=whole["raw"],
        maps=whole["maps"],
        values=whole["values"],
        labels=tuple(item.label for item in bound),
        method=method,
        source=chosen.source,
        signed=chosen.signed,
        layer=path or None,
        scores=_named(whole, "score"),
        curves={name: rows.T for name, rows in _named(whole, "curve").items()},
        sanity=_named(whole, "sanity"),
        coverage=coverage,
        settings=settings,
    )


def _compute(task: Task, method: Method, size: Size, faithfulness: bool, sanity: bool) -> tuple[Columns, str]:
    """Everything computed for one task, one row per image, and the coverage of its backward rule."""

    def to_maps(computed: MethodOutput) -> NDArray[np.float32]:
        return _maps(computed, size, method.signed)

    found = method.compute(task)
    columns: Columns = {"raw": found.raw, "maps": to_maps(found), "values": found.values}
    columns |= {f"score {name}": score for name, score in found.scores.items()}
    if faithfulness:
        for name, curve in zip(("deletion", "insertion"), curves(task, columns["maps"]), strict=True):
            columns |= {f"curve {name}": curve.T, f"score {name} area": area(curve)}
    if sanity:
        columns |= {f"sanity {name}": rows for name, rows in sanity_of(task, method.compute, to_maps).items()}
    return columns, found.coverage


def _maps(computed: MethodOutput, size: Size, signed: bool) -> NDArray[np.float32]:
    """Maps at the size of the image, each divided by its largest absolute value."""
    raw = computed.raw if computed.spread is None else computed.spread
    if raw.ndim == 4:
        raw = raw.sum(axis=-1) if signed else np.abs(raw).max(axis=-1)
    return normalised(upsample(raw if signed else np.maximum(raw, 0), size))


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
    return {**known, **given}


def _named(whole: Columns, kind: str) -> Columns:
    return {name.removeprefix(f"{kind} "): column for name, column in whole.items() if name.startswith(f"{kind} ")}
