"""Names of layers, classes and files that other people chose badly, and results in which every name is such a one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from phosphene.kit.result import Result

__all__ = ["HOSTILE", "renamed"]

HOSTILE = {
    "markup of formulas": r"$\frac{a}^_{b}$ 100% \alpha {x}_{",
    "one dollar": "costs $5 or \\$6",
    "underscore first": "_hidden",
    "controls": "a\x00b\x1b[31mred\x9b2J\rover\x7f\u2028next\x85",
    "directions": "abc\u202edef\u2066x\u2069\u200f",
    "half a pair": "half \ud83d of it",
    "Hebrew": "כלב גדול (1) 7%",
    "Arabic": "قطة صغيرة 12",
    "Chinese": "大熊猫的照片",
    "emoji": "cat 🐈 👩\u200d🔬 ⚑",
    "long": "features.denseblock4.denselayer16.very_long_name_of_a_module_that_never_ends.conv2",
    "wide": "猫" * 80,
    "lines": "first line\nsecond line\tand a tab",
    "brackets": "[/] [bold red]block[0][/bold red] <script>alert('&')</script>",
    "combining": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324a" * 4,
    "nothing": "",
}

NAMED = frozenset("layer label labels titles names rows layers target a b source where network parted".split())
"""Fields of results that hold names."""


def renamed(result: Any, name: str) -> Any:
    """The result with other names, each with a number behind it where several must differ."""
    changed = {}
    for item in fields(result):
        value = getattr(result, item.name)
        if item.name in NAMED and not isinstance(value, bool):
            changed[item.name] = _renamed(value, name, several=item.name not in ("layer", "label", "target", "a", "b"))
        elif isinstance(value, (tuple, Result)):
            changed[item.name] = _inside(value, name)
    return replace(result, **changed)


def _renamed(value: Any, name: str, *, several: bool) -> Any:
    if isinstance(value, str):
        return name
    if isinstance(value, tuple):
        return tuple(_numbered(item, name, number, several) for number, item in enumerate(value))
    return value


def _numbered(item: Any, name: str, number: int, several: bool) -> Any:
    if isinstance(item, str):
        return f"{name}{number}" if several else name
    return _renamed(item, name, several=True) if isinstance(item, tuple) else _inside(item, name)


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_inside(item, name) for item in value)
    return renamed(value, name) if is_dataclass(value) and not isinstance(value, type) else value
