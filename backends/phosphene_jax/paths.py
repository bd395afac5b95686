"""Paths of layers: ``module``, ``module#1`` for the second call of a module, and ``module#1[0]`` for one of several outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["index_text", "is_part", "module_of", "name_of", "path_of"]

_PART = r'\[(?:-?\d+|"(?:[^"\\]|\\.)*")\]'
_PARTS = re.compile(rf"(?:{_PART})+$")
_CALL = re.compile(rf"#\d+(?=(?:{_PART})*$)")


def path_of(name: str, call: int) -> str:
    """Return the path of the call with that number, counted from 0: ``cell[1]`` becomes ``cell#2[1]``."""
    if call == 0:
        return name
    start = len(module_of(name))
    return f"{name[:start]}#{call}{name[start:]}"


def name_of(path: str) -> str:
    """Return a path without the number of the call, the name of its mark."""
    return _CALL.sub("", path)


def module_of(path: str) -> str:
    """Return the path of the module that a layer belongs to."""
    return _PARTS.sub("", name_of(path))


def is_part(path: str) -> bool:
    """Whether a layer is a further output of a module."""
    return bool(_PARTS.search(path))


def index_text(keys: Sequence[Any]) -> str:
    """Return the path of a tree as indices: ``[0]``, ``["out"]``, ``[1][0]``."""
    found = []
    for key in keys:
        value = next((getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name)), key)
        found.append(f"[{value}]" if isinstance(value, int) else f"[{json.dumps(str(value), ensure_ascii=False)}]")
    return "".join(found)
