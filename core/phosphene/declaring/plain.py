"""`to_plain` and `from_plain`: one declaration as plain data, and made again from it by the function of its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from phosphene.declaring.table import GROUPS, SCHEDULE, kinds_of
from phosphene.declaring.values import MOST_NUMBERS, brief, checked_depth, checked_keys, items, number
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.objectives import Objective
from phosphene.objectives.declarations import Product, Sum
from phosphene.recipes import RULES

__all__ = ["OPAQUE", "from_plain", "same", "to_plain"]

OPAQUE = "opaque"
LONGEST_REPR = 200

INSTEAD = {
    "parameterization": "Functions, statistics and images are not written down: give it to ph.render(parameterization=...).",
    "transform": "A transform of your own is not written down: give it to ph.render(transforms=[...]).",
    "regularizer": "One of your own is not written down: give it to ph.render(regularizers=[...]).",
    "optimizer": "A framework's own or yours is not written down: give it to ph.render(optimizer=...), or use ph.adam.",
    "schedule": "A schedule of your own is not written down: give it to ph.adam(schedule=...), or use ph.cosine.",
    "rule": "A rule of your own is not written down: give it to ph.render(rule=...).",
    "objective": "Functions, and activations to be matched, are not written down: give it to ph.render, ph.invert or ph.dream.",
}
"""What to do about what was not written down, by group."""


class _Unwritable(Exception):
    """Something in a declaration that has no plain form."""


def to_plain(value: Any) -> Any:
    """A part of a recipe, or an objective, as plain data.

    Parameters
    ----------
    value : object
        A parameterization, transform, regularizer, optimizer, schedule or objective. A backward rule, or None for the standard
        one, becomes its name.

    Returns
    -------
    dict or str
        ``{"kind": "fourier", "decay": 1.3, ...}``. What cannot be made again from such data (functions, frameworks' optimizers,
        arrays as long as images) becomes ``{"kind": "opaque", "repr": ...}``, which `from_plain` refuses.
    """
    for name, rule in RULES.items():
        if type(value) is type(rule) and value == rule:
            return name
    try:
        group, data = _written(value)
        # What is written is what comes back, or it is not written: a subclass, say, or bounds that the function refuses.
        if same(from_plain(group, data), value):
            return data
    except (_Unwritable, InvalidParameter, RecursionError):
        pass
    shown = repr(value)
    return {"kind": OPAQUE, "repr": shown if len(shown) <= LONGEST_REPR else shown[: LONGEST_REPR - 3] + "..."}


def from_plain(group: str, data: Any, where: str = "") -> Any:
    """What plain data stand for, made by the public function of that name and under all of its checks.

    Nothing is evaluated or imported: the names are those of a table, and data that name anything else are refused.

    Parameters
    ----------
    group : str
        "parameterization", "transform", "regularizer", "optimizer", "schedule", "objective" or "rule".
    data : object
        As from `to_plain`; from a stranger's file, perhaps.
    where : str, optional
        Where they stand, for messages; the group when absent.

    Returns
    -------
    object
        For "rule" the rule, or None for the standard one.

    Raises
    ------
    InvalidParameter
        For unknown kinds and keys, with the nearest ones; for values that the function refuses; for what was not written down.
    """
    where = where or group
    checked_depth(where, data)
    return _made(group, data, where)


def same(first: Any, second: Any) -> bool:
    """Whether two declarations are of one type and equal in every field, arrays included."""
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
    """The group of a declaration and its plain form."""
    if type(value) is Sum:
        terms = [_written(term)[1] for term in value.terms]
        return "objective", {"kind": "sum", "terms": terms, "weights": [_bare(weight) for weight in value.weights]}
    if type(value) is Product:
        sides = {"left": _written(value.left)[1], "right": _written(value.right)[1]}
        return "objective", {"kind": "product", **sides}
    found = kinds_of(type(value))
    if len(found) > 1:  # l1 and l2 are one class of two orders
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
    """Numbers, texts and arrays as JSON has them."""
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
        # Said as it is, but for what would move a terminal's cursor about.
        readable = isinstance(shown, str) and 0 < len(shown) <= LONGEST_REPR and shown.isprintable()
        raise InvalidParameter(
            where, allowed="something that can be written down", received=said(shown if readable else "something else"),
            fix=INSTEAD.get(group, ""),
        )  # fmt: skip
    if group == "rule":
        return RULES[_known(where, data, list(RULES))]
    data = {"kind": data} if isinstance(data, str) else data  # "flip" for {"kind": "flip"}
    kinds = {kind.name: kind for kind in GROUPS[group]}
    combined = ("sum", "product") if group == "objective" else ()
    if not isinstance(data, Mapping) or "kind" not in data:
        raise InvalidParameter(
            where, allowed=f"a kind of {group} with its values", received=brief(data),
            fix=f"Its kind is one of {', '.join([*kinds, *combined])}.",
        )  # fmt: skip
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
        raise InvalidParameter(where, allowed=f"what {name} takes", received=brief(given), fix=f"{error}.") from error


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
        where, allowed=f"one of {', '.join(known)}", received=brief(name), fix=f"Did you mean {near}?" if near else ""
    )
