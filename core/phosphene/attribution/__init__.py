"""Which parts of an image a target rests on: `attribute`, its methods, and the controls that tell a map from a pretty picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.arrays import stack_trees
from phosphene.attribution.job import Computed, Job
from phosphene.attribution.methods import METHODS, Method
from phosphene.attribution.perturbation import area, curves
from phosphene.attribution.sanity import sanity as sanity_of
from phosphene.attribution.targets import bind_targets, layer_for
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, nearest
from phosphene.images import check_images
from phosphene.maps import normalised, upsample
from phosphene.objectives import Objective
from phosphene.objectives.forms import Form
from phosphene.rendering import describe
from phosphene.results import Attribution
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
    """Which parts of each image a target rests on.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    target : int, str, objective, function, or a sequence of them, optional
        What is explained: a class by index or name, any objective (``ph.channel("stage3", 5)``), or one for each image. Each
        image's own strongest class when absent.
    method : str, default "gradcam"
        "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "gradcam", "gradcam++", "hirescam", "layercam",
        "guided_gradcam", "integrated_gradients", "smoothgrad" or "occlusion".
    layer : str, optional
        The layer of a class activation map, of rows and columns or of a transformer's tokens, whose patches are brought back to
        their grid; the last one before the target whose positions have a part in it when absent.
    sanity : bool, default False
        Repeat it with weights that are random from the top down (Adebayo et al. 2018), and report how much of the map stays:
        `Attribution.sanity`.
    faithfulness : bool, default False
        Cover and uncover pixels in the order of the map (Petsiuk et al. 2018): `Attribution.curves`, and their areas in
        `Attribution.scores`.
    batch : int, default 16
        Images at a time.
    seed : int, default 0
        Of all draws.
    **options
        The method's own: ``baseline`` (gradient_x_input, integrated_gradients: 0; occlusion: 0.5), ``steps``
        (integrated_gradients: as many as completeness within 1% takes), ``samples`` and ``deviation`` (smoothgrad: 32, 0.15
        of the image's range), ``window`` and ``stride`` (occlusion: an eighth of the side, the window).

    Returns
    -------
    Attribution

    Raises
    ------
    InvalidParameter
        For an unknown method, layer, class or option, and for a layer without positions.
    InvalidImages
        For images of the wrong shape, dtype or range.
    """
    if not isinstance(network, Network):
        raise InvalidParameter(
            "network", allowed="a network", received=network, fix="Wrap a model first: ph.wrap(model, size=(224, 224))."
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
            job = Job(network, weights, form, arguments, pictures[rows], None, batch, seed, given)
            path = layer_for(network, form, layer, method, job.arrived) if chosen.layered else ""
            job = replace(job, layer=path or None)
            columns, line = _compute(job, chosen, size, faithfulness, sanity)
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


def _compute(job: Job, method: Method, size: Size, faithfulness: bool, sanity: bool) -> tuple[Columns, str]:
    """All columns of one job, a row an image, and the coverage line."""

    def to_maps(computed: Computed) -> NDArray[np.float32]:
        return _maps(computed, size, method.signed)

    found = method.compute(job)
    columns: Columns = {"raw": found.raw, "maps": to_maps(found), "values": found.values}
    columns |= {f"score {name}": score for name, score in found.scores.items()}
    if faithfulness:
        for name, curve in zip(("deletion", "insertion"), curves(job, columns["maps"]), strict=True):
            columns |= {f"curve {name}": curve.T, f"score {name} area": area(curve)}
    if sanity:
        columns |= {f"sanity {name}": rows for name, rows in sanity_of(job, method.compute, to_maps).items()}
    return columns, found.coverage


def _maps(computed: Computed, size: Size, signed: bool) -> NDArray[np.float32]:
    """Maps at the image's size, each on its own scale."""
    raw = computed.raw if computed.spread is None else computed.spread
    if raw.ndim == 4:
        raw = raw.sum(axis=-1) if signed else np.abs(raw).max(axis=-1)
    return normalised(upsample(raw if signed else np.maximum(raw, 0), size))


def _method(name: str) -> Method:
    if name not in METHODS:
        near = nearest(str(name), METHODS)
        raise InvalidParameter(
            "method", allowed=", ".join(map(repr, METHODS)), received=name, fix=f"Did you mean {near}?" if near else ""
        )
    return METHODS[name]


def _options(name: str, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(method.options)
    for option in given:
        if option not in known:
            raise InvalidParameter(
                option, allowed=f"{' or '.join(map(repr, known)) or 'no option'} with {name}", received=given[option],
                fix="Options belong to methods: help(ph.attribute) lists them.",
            )  # fmt: skip
    return {**known, **given}


def _named(whole: Columns, kind: str) -> Columns:
    return {name.removeprefix(f"{kind} "): column for name, column in whole.items() if name.startswith(f"{kind} ")}
