"""A whole call of `phosphene.render` as plain data: as results keep it, read again within limits, and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phosphene.ascent import Measured, Plan
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import choice
from phosphene.objectives import Objective
from phosphene.rendering.presets import preset_named, preset_names
from phosphene.rendering.recipe import Recipe
from phosphene.rendering.serialization.plain import OPAQUE, from_plain, to_plain
from phosphene.rendering.serialization.table import LARGEST_SIDE
from phosphene.rendering.serialization.values import boolean, checked_depth, checked_keys, integer, items, text
from phosphene.types import Size

__all__ = [
    "MOST_OBJECTIVES",
    "MOST_STEPS",
    "PARTS",
    "Run",
    "plain_run",
    "read_parts",
    "read_preset",
    "read_run",
    "recipe_text",
]

MOST_STEPS = 100_000
MOST_OBJECTIVES = 10_000

PARTS = ("parameterization", "transforms", "regularizers", "optimizer", "rule")
"""Parts of a recipe, by their names in `phosphene.render`."""

KEYS = (
    *("objectives", "preset", "recipe", "views", "steps", "seed", "size", "warm_up", "patience", "slots", "widths"),
    *("crop", "start"),
)


@dataclass(frozen=True)
class Run:
    """A call of `phosphene.render`, read from plain data.

    Attributes
    ----------
    objectives : list of Objective
    options : dict
        Arguments of `phosphene.render`, without `slots`.
    slots : int or None
        As given; None if they were chosen by memory or measured.
    widths : list of int
        Slots as measured, one per batch of targets; empty otherwise.
    """

    objectives: list[Objective]
    options: dict[str, Any]
    slots: int | None
    widths: list[int]


def plain_run(
    objectives: Sequence[Objective],
    recipe: Recipe,
    plan: Plan,
    *,
    preset: str,
    canvas: Size,
    seed: int,
    crop: bool,
    start: bool,
    widths: Sequence[int],
) -> dict[str, Any]:
    """A call of `phosphene.render` as plain data, for JSON.

    Parameters
    ----------
    objectives : sequence of Objective
    recipe : Recipe
        With all parts that replaced the preset's.
    plan : Plan
    preset : str
    canvas : (int, int)
        Height and width of the pictures.
    seed, crop
        As of `phosphene.render`.
    start : bool
        Whether the ascent started from given pictures, which are not kept.
    widths : sequence of int
        Slots as used, one per batch of targets.

    Returns
    -------
    dict
    """
    return {
        "objectives": [to_plain(item) for item in objectives],
        "preset": preset,
        "recipe": {
            "parameterization": to_plain(recipe.parameterization),
            "transforms": [to_plain(item) for item in recipe.transforms],
            "regularizers": [to_plain(item) for item in recipe.regularizers],
            "optimizer": to_plain(recipe.optimizer),
            "rule": to_plain(recipe.rule),
        },
        "views": recipe.views,
        "steps": plan.steps,
        "seed": seed,
        "size": list(canvas),
        "warm_up": plan.warm_up,
        "patience": plan.patience,
        "slots": "measured" if isinstance(plan.slots, Measured) else plan.slots,
        "widths": [int(width) for width in widths],
        "crop": bool(crop),
        "start": start,
    }


def read_run(data: Any, where: str) -> Run:
    """Read a call of `phosphene.render` from plain data. Every value is checked, every object made anew.

    Parameters
    ----------
    data : object
        As from `plain_run`. It may come from a file of unknown origin.
    where : str
        Key of the data, for messages.

    Returns
    -------
    Run

    Raises
    ------
    InvalidParameter
        If `plain_run` would not have written this, or if it could not write something that is needed.
    """
    checked_depth(where, data)
    checked_keys(where, data, KEYS, KEYS)
    preset = read_preset(f"{where}.preset", data["preset"])
    side = integer(2, LARGEST_SIDE)
    height, width = items(side, 2, 2)(f"{where}.size", data["size"])
    if boolean(f"{where}.start", data["start"]):
        raise InvalidParameter(
            "start",
            allowed="a run that started from noise",
            received=said("one that started from given pictures"),
            fix="They are not in the file: call ph.render(..., start=...) with them.",
        )
    views = integer(1, 10_000)(f"{where}.views", data["views"])
    known = preset_named(preset, (height, width), (height, width)).views
    if views != known:
        raise InvalidParameter(
            f"{where}.views",
            allowed=f"{known}, the views of preset {preset!r}",
            received=views,
            fix="Use the version of phosphene that wrote the file.",
        )
    objectives = items(_objective, 1, MOST_OBJECTIVES)(f"{where}.objectives", data["objectives"])
    recipe = checked_keys(f"{where}.recipe", data["recipe"], PARTS, PARTS)
    options = {
        "preset": preset,
        **read_parts(f"{where}.recipe", recipe),
        "steps": integer(1, MOST_STEPS)(f"{where}.steps", data["steps"]),
        "seed": integer(0, 2**128 - 1)(f"{where}.seed", data["seed"]),
        "size": (height, width),
        "warm_up": integer(0, MOST_STEPS)(f"{where}.warm_up", data["warm_up"]),
        "patience": None if data["patience"] is None else integer(1)(f"{where}.patience", data["patience"]),
        "crop": boolean(f"{where}.crop", data["crop"]),
    }
    slots, widths = data["slots"], items(integer(1, MOST_OBJECTIVES), 0)(f"{where}.widths", data["widths"])
    if slots == "measured":
        return Run(objectives, options, None, widths)
    return Run(objectives, options, None if slots is None else integer(1)(f"{where}.slots", slots), [])


def read_parts(where: str, recipe: Any) -> dict[str, Any]:
    """Read parts of a recipe, as arguments of `phosphene.render`.

    Parameters
    ----------
    where : str
        Key of the data, for messages.
    recipe : mapping
        Plain data by part. Not every part needs to be there.

    Returns
    -------
    dict

    Raises
    ------
    InvalidParameter
        If there is another key, or if `from_plain` rejects a part.
    """
    checked_depth(where, recipe)
    checked_keys(where, recipe, PARTS)
    made: dict[str, Any] = {}
    for part, data in recipe.items():
        at = f"{where}.{part}"
        if part in ("transforms", "regularizers"):
            made[part] = items(_reader(part.removesuffix("s")), most=100)(at, data)
        else:
            made[part] = from_plain(part, data, at)
    if "rule" in made and made["rule"] is None:
        made["rule"] = "standard"  # None is the preset's
    return made


def read_preset(where: str, value: Any) -> str:
    """Read the name of a preset."""
    return choice(where, text(where, value), preset_names())


def recipe_text(settings: Mapping[str, Any]) -> str:
    """The recipe in the settings of a result, as text: preset, steps and parts.

    Parameters
    ----------
    settings : mapping
        With a "run" as from `plain_run`, or with "recipe" and "preset" as text, as earlier versions wrote them.

    Returns
    -------
    str
    """
    run = settings.get("run")
    if run is not None:
        recipe = {
            part: [_shown(part.removesuffix("s"), item) for item in data]
            if isinstance(data, list)
            else _shown(part, data)
            for part, data in run["recipe"].items()
        }
        preset, steps = run["preset"], run["steps"]
    else:
        recipe, preset = settings["recipe"], settings["preset"]
        steps = recipe["steps"]
    parts = [recipe["parameterization"], *recipe["transforms"], *recipe["regularizers"], recipe["optimizer"]]
    return f"preset {preset}, {steps} steps; {', '.join(parts)}"


def _shown(group: str, data: Any) -> str:
    if isinstance(data, Mapping) and data.get("kind") == OPAQUE:
        return str(data["repr"])
    return repr(from_plain(group, data))


def _reader(group: str) -> Any:
    return lambda where, data: from_plain(group, data, where)


def _objective(where: str, data: Any) -> Any:
    return from_plain("objective", data, where)
