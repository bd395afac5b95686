"""A whole call of `phosphene.render` as plain data, as results carry it, and read again under limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phosphene.declaring.plain import from_plain, to_plain
from phosphene.declaring.table import LARGEST_SIDE
from phosphene.declaring.values import checked_depth, checked_keys, items, text, truth, whole
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.objectives import Objective
from phosphene.presets import Preset, preset_named, preset_names
from phosphene.types import Size

__all__ = ["MOST_OBJECTIVES", "MOST_STEPS", "PARTS", "Run", "plain_run", "read_parts", "read_preset", "read_run"]

MOST_STEPS = 100_000
MOST_OBJECTIVES = 10_000

PARTS = ("parameterization", "transforms", "regularizers", "optimizer", "rule")
"""Of a recipe, as `phosphene.render` calls them."""

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
        Of `phosphene.render`, `slots` apart.
    slots : int or None
        As it was given; None where it was found by memory or measured.
    widths : list of int
        Slots as used, a batch each; empty unless they were measured, for those found by memory are found again.
    """

    objectives: list[Objective]
    options: dict[str, Any]
    slots: int | None
    widths: list[int]


def plain_run(
    wanted: Sequence[Objective],
    recipe: Preset,
    *,
    preset: str,
    canvas: Size,
    seed: int,
    warm_up: int,
    patience: int | None,
    slots: int | str | None,
    widths: Sequence[int],
    crop: bool,
    start: bool,
) -> dict[str, Any]:
    """A call of `phosphene.render` as plain JSON.

    Parameters
    ----------
    wanted : sequence of Objective
    recipe : Preset
        With all parts that took the place of the preset's own.
    preset : str
    canvas : (int, int)
    seed, warm_up, patience, slots, crop
        As of `phosphene.render`.
    widths : sequence of int
        Slots as used, a batch each.
    start : bool
        Whether pictures to start from were given; they are not written down.

    Returns
    -------
    dict
    """
    return {
        "objectives": [to_plain(item) for item in wanted],
        "preset": preset,
        "recipe": {
            "parameterization": to_plain(recipe.parameterization),
            "transforms": [to_plain(item) for item in recipe.transforms],
            "regularizers": [to_plain(item) for item in recipe.regularizers],
            "optimizer": to_plain(recipe.optimizer),
            "rule": to_plain(recipe.rule),
        },
        "views": recipe.views,
        "steps": recipe.steps,
        "seed": seed,
        "size": list(canvas),
        "warm_up": warm_up,
        "patience": patience,
        "slots": slots if slots is None or isinstance(slots, str) else int(slots),
        "widths": [int(width) for width in widths],
        "crop": bool(crop),
        "start": start,
    }


def read_run(data: Any, where: str) -> Run:
    """The call that plain data describe, everything in it made anew and within limits.

    Parameters
    ----------
    data : object
        As from `plain_run`; from a stranger's file, perhaps.
    where : str
        Where they stand, for messages.

    Returns
    -------
    Run

    Raises
    ------
    InvalidParameter
        For whatever `plain_run` would not have written, and for what it could not write down.
    """
    checked_depth(where, data)
    checked_keys(where, data, KEYS, KEYS)
    preset = read_preset(f"{where}.preset", data["preset"])
    side = whole(2, LARGEST_SIDE)
    height, width = items(side, 2, 2)(f"{where}.size", data["size"])
    if truth(f"{where}.start", data["start"]):
        raise InvalidParameter(
            "start", allowed="a run from noise", received=said("one from pictures that were given"),
            fix="They are not in the file: call ph.render(..., start=...) with them.",
        )  # fmt: skip
    views = whole(1, 10_000)(f"{where}.views", data["views"])
    known = preset_named(preset, (height, width), (height, width)).views
    if views != known:
        raise InvalidParameter(
            f"{where}.views",
            allowed=f"{known}, as of preset {preset!r}",
            received=views,
            fix="Another version wrote it.",
        )
    objectives = items(_objective, 1, MOST_OBJECTIVES)(f"{where}.objectives", data["objectives"])
    recipe = checked_keys(f"{where}.recipe", data["recipe"], PARTS, PARTS)
    options = {
        "preset": preset,
        **read_parts(f"{where}.recipe", recipe),
        "steps": whole(1, MOST_STEPS)(f"{where}.steps", data["steps"]),
        "seed": whole(0, 2**128 - 1)(f"{where}.seed", data["seed"]),
        "size": (height, width),
        "warm_up": whole(0, MOST_STEPS)(f"{where}.warm_up", data["warm_up"]),
        "patience": None if data["patience"] is None else whole(1)(f"{where}.patience", data["patience"]),
        "crop": truth(f"{where}.crop", data["crop"]),
    }
    slots, widths = data["slots"], items(whole(1, MOST_OBJECTIVES), 0)(f"{where}.widths", data["widths"])
    if slots == "measured":
        return Run(objectives, options, None, widths)
    return Run(objectives, options, None if slots is None else whole(1)(f"{where}.slots", slots), [])


def read_parts(where: str, recipe: Any) -> dict[str, Any]:
    """Parts of a recipe, as arguments of `phosphene.render`; those that are absent stay so.

    Parameters
    ----------
    where : str
        Where they stand, for messages.
    recipe : mapping
        Plain data by part.

    Returns
    -------
    dict

    Raises
    ------
    InvalidParameter
        For parts that are none, and for what `from_plain` refuses.
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
    """The name of a preset."""
    name, known = text(where, value), preset_names()
    if name not in known:
        near = nearest(name[:100], known)
        raise InvalidParameter(
            where, allowed=", ".join(map(repr, known)), received=name, fix=f"Did you mean {near}?" if near else ""
        )
    return name


def _reader(group: str) -> Any:
    return lambda where, data: from_plain(group, data, where)


def _objective(where: str, data: Any) -> Any:
    return from_plain("objective", data, where)
