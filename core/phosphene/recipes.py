"""From what a call was given to one recipe: a preset, and the parts that take the place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from phosphene.backend import Network, Rule
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, nearest
from phosphene.parameterizations import Parameterization
from phosphene.penalties import Penalty
from phosphene.presets import Preset, preset_named
from phosphene.projections import Projection
from phosphene.rules import Deconvolution, Guided, Redirected
from phosphene.transforms import Transform
from phosphene.types import Size

__all__ = ["RULES", "recipe_of"]

RULES: Mapping[str, Rule | None] = {
    "standard": None,
    "guided": Guided(),
    "deconvolution": Deconvolution(),
    "redirected": Redirected(),
}
"""Backward rules of rectified linear units, by name."""


def recipe_of(
    network: Network,
    canvas: Size,
    preset: str | None,
    steps: int | None,
    parameterization: Parameterization | None,
    transforms: Sequence[Transform] | None,
    regularizers: Sequence[Penalty | Projection] | None,
    optimizer: Any,
    rule: str | Rule | None = None,
) -> Preset:
    """The recipe of a call: a preset, in which whatever else was given takes its part's place.

    Parameters
    ----------
    network : Network
    canvas : (int, int)
        Height and width of the pictures.
    preset, steps, parameterization, transforms, regularizers, optimizer, rule
        As of `phosphene.render`.

    Returns
    -------
    Preset

    Raises
    ------
    InvalidParameter
        For a part that is none, and for projections of an image that is not held pixel by pixel.
    """
    recipe = preset_named(preset or "default", canvas, network.input.size)
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
    return replace(recipe, rule=_rule(rule)) if rule is not None else recipe


def _rule(rule: str | Rule) -> Rule | None:
    if isinstance(rule, str) and rule in RULES:
        return RULES[rule]
    if isinstance(rule, str) or not callable(rule):
        near = nearest(str(rule), RULES)
        raise InvalidParameter(
            "rule", allowed=", ".join(map(repr, RULES)) + " or a rule of your own", received=rule,
            fix=f"Did you mean {near}?" if near else "",
        )  # fmt: skip
    return rule
