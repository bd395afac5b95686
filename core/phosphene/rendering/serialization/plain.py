"""`to_plain` and `from_plain`: a declaration as plain data, and the same declaration made from these data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter, nearest, said
from phosphene.objectives import Objective
from phosphene.objectives.declarations import Product, Sum
from phosphene.rendering.recipe import RULES
from phosphene.rendering.serialization.table import GROUPS, SCHEDULE, kinds_of
from phosphene.rendering.serialization.values import MOST_NUMBERS, brief, checked_depth, checked_keys, items, number

__all__ = ["OPAQUE", "from_plain", "same", "to_plain"]

OPAQUE = "opaque"
LONGEST_REPR = 200

INSTEAD = {
    "parameterization": "Functions, statistics and images are not kept: give it to ph.render(parameterization=...).",
    "transform": "Your own transforms are not kept: give them to ph.render(transforms=[...]).",
    "regularizer": "Your own regularizers are not kept: give them to ph.render(regularizers=[...]).",
    "optimizer": (
        "Your own and a framework's optimizers are not kept: give it to ph.render(optimizer=...), or use ph.optimizers.adam."
    ),
    "schedule": "Your own schedules are not kept: give it to ph.optimizers.adam(schedule=...), or use ph.optimizers.cosine.",
    "rule": "Your own rules are not kept: give it to ph.render(rule=...).",
    "objective": "Functions and activations to match are not kept: give it to ph.render, ph.invert or ph.dream.",
}
"""What to do about a part that could not be written down, by group."""


class _Unwritable(Exception):
    """A declaration contains something that has no plain form."""


def to_plain(value: Any) -> Any:
    """Write a part of a recipe, or an objective, as plain data.

    Parameters
    ----------
    value : object
        A parameterization, transform, regularizer, optimizer, schedule or objective; or a backward rule, which becomes its name.
        None is the standard rule.

    Returns
    -------
    dict or str
        ``{"kind": "fourier", "decay": 1.3, ...}``. What cannot be made from such data (functions, frameworks' optimizers, arrays
        as large as images) becomes ``{"kind": "opaque", "repr": ...}``, which `from_plain` rejects. A long ``repr`` is shortened
        and ends in a hash, so that equal ones are of equal objects.
    """
    for name, rule in RULES.items():
        if type(value) is type(rule) and value == rule:
            return name
    try:
        group, data = _written(value)
        # Only what can be read back is written: not a subclass, for example, or values that the function rejects.
        if same(from_plain(group, data), value):
            return data
    except (_Unwritable, InvalidParameter, RecursionError):
        pass
    shown = repr(value)
    if len(shown) > LONGEST_REPR:
        ending = "... " + hashlib.blake2b(shown.encode(errors="replace"), digest_size=8).hexdigest()
        shown = shown[: LONGEST_REPR - len(ending)] + ending
    return {"kind": OPAQUE, "repr": shown}


def from_plain(group: str, data: Any, where: str = "") -> Any:
    """Make the object that plain data describe, by the public function of that name and with all of its checks.

    Nothing is evaluated or imported: names are looked up in a table, and any other name is an error.

    Parameters
    ----------
    group : str
        "parameterization", "transform", "regularizer", "optimizer", "schedule", "objective" or "rule".
    data : object
        As from `to_plain`. It may come from a file of unknown origin.
    where : str, optional
        Key of the data, for messages (default: the group).

    Returns
    -------
    object
        For "rule" the rule, or None for the standard one.

    Raises
    ------
    InvalidParameter
        If a kind or key is unknown (the message names the nearest ones), if the function rejects a value, or if the part could not
        be written down.
    """
    where = where or group
    checked_depth(where, data)
    return _made(group, data, where)


def same(first: Any, second: Any) -> bool:
    """Whether two declarations have the same type and equal fields, arrays included."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    if is_dataclass(first) and not isinstance(first, type):
        if type(first) is not type(second):
            return False
        return all(same(getattr(first, item.name), getattr(second, item.name)) for item in fields(first))
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def _written(value: Any) -> tuple[str, dict[str, Any]]:
    """Group and plain form of a declaration."""
    if type(value) is Sum:
        terms = [_written(term)[1] for term in value.terms]
        return "objective", {"kind": "sum", "terms": terms, "weights": [_bare(weight) for weight in value.weights]}
    if type(value) is Product:
        sides = {"left": _written(value.left)[1], "right": _written(value.right)[1]}
        return "objective", {"kind": "product", **sides}
    found = kinds_of(type(value))
    if len(found) > 1:  # l1 and l2 return one class, of two orders
        found = [(group, kind) for group, kind in found if kind.name.endswith(str(getattr(value, "order", "")))]
    if not found:
        raise _Unwritable
    group, kind = found[0]
    data: dict[str, Any] = {"kind": kind.name}
    for key, given in kind.arguments(value).items():
        if given is not None and not (isinstance(given, str) and not given):
            data[key] = _written(given)[1] if key == SCHEDULE else _bare(given)
    return group, data


def _bare(value: Any) -> Any:
    """Numbers, texts and arrays as JSON represents them."""
    if isinstance(value, np.ndarray):
        if value.size > MOST_NUMBERS:
            raise _Unwritable
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [_bare(item) for item in value]
    if isinstance(value, (bool, int, float, str)):
        return value
    raise _Unwritable


def _made(group: str, data: Any, where: str) -> Any:
    if isinstance(data, Mapping) and data.get("kind") == OPAQUE:
        shown: Any = data.get("repr")
        # Characters that move a terminal's cursor are not shown.
        readable = isinstance(shown, str) and 0 < len(shown) <= LONGEST_REPR and shown.isprintable()
        raise InvalidParameter(
            where,
            allowed="something that can be written down",
            received=said(shown if readable else "something else"),
            fix=INSTEAD[group],
        )
    if group == "rule":
        return RULES[_known(where, data, list(RULES))]
    data = {"kind": data} if isinstance(data, str) else data  # "flip" is short for {"kind": "flip"}
    kinds = {kind.name: kind for kind in GROUPS[group]}
    combined = ("sum", "product") if group == "objective" else ()
    if not isinstance(data, Mapping) or "kind" not in data:
        raise InvalidParameter(
            where,
            allowed=f"a kind of {group} with its values",
            received=brief(data),
            fix=f"Its kind is one of {', '.join([*kinds, *combined])}.",
        )
    name = _known(f"{where}.kind", data["kind"], [*kinds, *combined])
    given = {key: value for key, value in data.items() if key != "kind"}
    if name in combined:
        return _combined(name, given, where)
    kind = kinds[name]
    checked_keys(where, given, kind.keys, kind.required)
    arguments = {
        key: _made(SCHEDULE, value, f"{where}.{key}") if key == SCHEDULE else kind.keys[key](f"{where}.{key}", value)
        for key, value in given.items()
    }
    try:
        return kind.make(**arguments)
    except InvalidParameter as error:
        error.parameter, error.args = f"{where}.{error.parameter}", (f"{where}.{error}",)
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidParameter(
            where, allowed=f"values that {name} accepts", received=brief(given), fix=f"{error}."
        ) from error


def _combined(name: str, given: Mapping[str, Any], where: str) -> Objective:
    """A sum or a product of objectives."""

    def part(at: str, item: Any) -> Any:
        return _made("objective", item, at)

    if name == "product":
        data = checked_keys(where, given, ("left", "right"), ("left", "right"))
        made: Objective = part(f"{where}.left", data["left"]) * part(f"{where}.right", data["right"])
        return made
    data = checked_keys(where, given, ("terms", "weights"), ("terms", "weights"))
    terms = items(part, 1)(f"{where}.terms", data["terms"])
    weights = items(number, len(terms), len(terms))(f"{where}.weights", data["weights"])
    return Sum(tuple(terms), tuple(float(weight) for weight in weights))


def _known(where: str, name: Any, known: list[str]) -> str:
    if isinstance(name, str) and name in known:
        return name
    near = nearest(name[:100], known) if isinstance(name, str) else ""
    raise InvalidParameter(
        where,
        allowed=f"one of {', '.join(known)}",
        received=brief(name),
        fix=f"Did you mean {near}?" if near else f"For example {known[0]!r}.",
    )
