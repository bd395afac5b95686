"""`Recipe`: parameterization, transforms, regularizers and optimizer of an ascent; and the parts of one replaced by a call's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phosphene.backend import Network, Rule
from phosphene.errors import InvalidParameter, holds
from phosphene.kit.checks import choice, integer, listed_or_one
from phosphene.optimizers import Optimizer
from phosphene.parameterizations import Parameterization
from phosphene.regularizers.penalties import Penalty
from phosphene.regularizers.projections import Projection
from phosphene.rules import Deconvolution, Guided, Redirected
from phosphene.transforms import Transform

__all__ = ["RULES", "Recipe", "recipe_of"]

RULES: Mapping[str, Rule | None] = {
    "standard": None,
    "guided": Guided(),
    "deconvolution": Deconvolution(),
    "redirected": Redirected(),
}
"""Backward rules of rectified linear units, by name."""


MOST_STEPS = 1_000_000
"""Most gradient evaluations per picture: the random transforms of all of them are drawn before the first."""


@dataclass(frozen=True)
class Recipe:
    """How an image is optimized, whatever its objective.

    Attributes
    ----------
    parameterization : Parameterization
    transforms : tuple of Transform
    regularizers : tuple of Penalty or Projection
    optimizer : Optimizer
    steps : int
    source : str
        Where it was published.
    differs : str
        How this differs from what was published, and why.
    views : int, default 1
        Transformed copies of the image per step, over which the objective is averaged; each is a gradient evaluation.
    rule : Rule, optional
        Backward rule of all steps (default: the network's own gradient).
    """

    parameterization: Parameterization
    transforms: tuple[Transform, ...]
    regularizers: tuple[Penalty | Projection, ...]
    optimizer: Optimizer
    steps: int
    source: str
    differs: str = ""
    views: int = 1
    rule: Rule | None = None


def recipe_of(
    network: Network,
    recipe: Recipe,
    *,
    steps: int | None,
    parameterization: Parameterization | None,
    transforms: Sequence[Transform] | None,
    regularizers: Sequence[Penalty | Projection] | None,
    optimizer: Any,
    rule: str | Rule | None,
) -> Recipe:
    """A recipe whose parts are replaced by those that a call gives.

    Parameters
    ----------
    network : Network
        Its framework may have optimizers of its own.
    recipe : Recipe
        Usually a preset.
    steps, parameterization, transforms, regularizers, optimizer, rule
        As of `phosphene.render`; None keeps the part of `recipe`.

    Returns
    -------
    Recipe

    Raises
    ------
    InvalidParameter
        If a part is of the wrong type, or if there is a projection but no image of pixels to project.
    """
    if steps is not None:
        recipe = replace(recipe, steps=integer("steps", steps, minimum=1))
        if recipe.steps > MOST_STEPS:
            raise InvalidParameter(
                "steps",
                allowed=f"at most {MOST_STEPS:,}",
                received=steps,
                fix="A few hundred are usual; start= resumes a run.",
            )
    if parameterization is not None:
        if not isinstance(parameterization, Parameterization):
            raise InvalidParameter(
                "parameterization",
                allowed="a parameterization",
                received=parameterization,
                fix="For example ph.parameterizations.fourier() or ph.parameterizations.pixel().",
            )
        recipe = replace(recipe, parameterization=parameterization)
    if transforms is not None:
        found = listed_or_one("transforms", transforms, Transform, "a transform", "ph.transforms.jitter(8)")
        recipe = replace(recipe, transforms=found)
    if regularizers is not None:
        kinds, example = (Penalty, Projection), "ph.regularizers.total_variation(2.0)"
        given = listed_or_one("regularizers", regularizers, kinds, "a penalty or a projection", example)
        recipe = replace(recipe, regularizers=given)
    for index, item in enumerate(recipe.regularizers):
        _check_regularizer(f"regularizers[{index}]", item, recipe.parameterization)
    if optimizer is not None:
        ours = holds(optimizer, "init", "update", "restart", "take") and not isinstance(optimizer, type)
        recipe = replace(recipe, optimizer=optimizer if ours else network.backend.optimizer(optimizer))
    return recipe if rule is None else replace(recipe, rule=_rule(rule))


def _check_regularizer(name: str, item: Penalty | Projection, parameterization: Parameterization) -> None:
    if isinstance(item, Projection) and not parameterization.pixelwise:
        raise InvalidParameter(
            name,
            allowed=f"penalties with {parameterization!r}",
            received=item,
            fix="Blur, decay and clipping act on pixels: add parameterization=ph.parameterizations.pixel().",
        )


def _rule(rule: str | Rule) -> Rule | None:
    if isinstance(rule, str):
        return RULES[choice("rule", rule, RULES, fix="A rule of your own is given as a function.")]
    if not callable(rule):
        raise InvalidParameter(
            "rule",
            allowed=", ".join(map(repr, RULES)) + " or a rule of your own",
            received=rule,
            fix='For example rule="guided".',
        )
    return rule
