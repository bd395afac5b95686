"""A run as a TOML file: the network, the objectives and the recipe.

::

    [model]
    name = "specimen"

    [run]
    targets = ["coins", "stage3:0-15"]
    size = 96
    preset = "default"

    [recipe]
    parameterization = { kind = "fourier", decay = 1.3 }
    transforms = [
        { kind = "jitter", pixels = 8 },
        { kind = "rotate", degrees = 10.0 },
    ]

Keys that are left out have the defaults of `phosphene.render` and `phosphene.load`. The name of a model is given to
`phosphene.load`, which imports the module in "package.module:factory": read a file of unknown origin before you run it.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phosphene.errors import InvalidParameter
from phosphene.kit.documents import read_regular
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole
from phosphene.rendering.serialization import checked_keys, read_parts
from phosphene.rendering.serialization.runs import MOST_OBJECTIVES, MOST_STEPS, PARTS, read_preset
from phosphene.rendering.serialization.table import LARGEST_SIDE
from phosphene.rendering.serialization.values import Reader, boolean, checked_depth, integer, items, size, text

__all__ = ["SECTIONS", "check_config", "read_config", "save_config"]

SIZE = size(2, LARGEST_SIDE)

SECTIONS: Mapping[str, Mapping[str, Reader]] = {
    "model": {"name": text, "backend": text, "weights": text, "input_size": SIZE},
    "run": {
        "targets": items(text, 1, MOST_OBJECTIVES),
        "size": SIZE,
        "steps": integer(1, MOST_STEPS),
        "seed": integer(0, 2**128 - 1),
        "start": text,
        "preset": read_preset,
        "out": text,
        "slots": integer(1),
        "patience": integer(1),
        "warm_up": integer(0, MOST_STEPS),
        "crop": boolean,
    },
}
"""Keys of the file by section, and their readers. The keys of [recipe] are the parts of a recipe."""

WIDTH = 100
MOST_BYTES = 1 << 20
"""Largest file of settings."""

BARE = re.compile(r"[A-Za-z0-9_-]+")


def read_config(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read a run from a TOML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        "model", "run" and "recipe", each with the keys that are in the file. The parts of the recipe are objects, as arguments of
        `phosphene.render`.

    Raises
    ------
    InvalidParameter
        If it is not TOML; if a section or key is unknown (the message names the nearest ones); if a value has another type or is
        out of range.
    FileNotFoundError
        If there is no such file.
    """
    try:
        data = tomllib.loads(read_regular(given_path(path, "config"), MOST_BYTES).decode("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not TOML, or not UTF-8
        raise InvalidParameter(
            "config",
            allowed="a TOML file",
            received=str(path),
            fix=f"{str(error)[:200]}. See phosphene.rendering.configuration.",
        ) from error
    return _checked(data, f"{path}: ")


def save_config(path: str | Path, data: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a run as a TOML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in .toml.
    data : mapping
        "model", "run" and "recipe", each a mapping of plain data, as from `phosphene.rendering.serialization.to_plain`. Values that
        are None are left out.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameter
        If the name has another ending, or if `read_config` would reject the run.
    UnwritablePath
        If it cannot be written.
    """
    target = given_path(path)
    if target.suffix != ".toml":
        raise InvalidParameter(
            "path",
            allowed="a name that ends in .toml",
            received=str(path),
            fix=f"For example {target.with_suffix('.toml')}.",
        )
    check_writable(target)
    kept = check_config(data)
    lines: list[str] = []
    for section, values in kept.items():
        lines += [f"[{section}]", *(f"{key} = {_value(value)}" for key, value in values.items()), ""]
    write_whole(target, "\n".join(lines).encode())
    return target


def check_config(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Check a run before it is written.

    Parameters
    ----------
    data : mapping
        As for `save_config`.

    Returns
    -------
    dict
        The run without values that are None and without empty sections.

    Raises
    ------
    InvalidParameter
        If `read_config` would reject it.
    """
    kept = {
        section: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values.items()
            if value is not None
        }
        for section, values in data.items()
    }
    kept = {section: values for section, values in kept.items() if values}
    _checked(kept, "")
    return kept


def _checked(data: Any, file: str) -> dict[str, dict[str, Any]]:
    """Sections and keys, each value as its reader returns it."""
    checked_depth(f"{file}all", data)
    try:
        checked_keys("", data, (*SECTIONS, "recipe"))
        found: dict[str, dict[str, Any]] = {}
        for section, readers in SECTIONS.items():
            given = checked_keys(section, data.get(section, {}), readers)
            found[section] = {key: readers[key](f"{section}.{key}", value) for key, value in given.items()}
        found["recipe"] = read_parts("recipe", checked_keys("recipe", data.get("recipe", {}), PARTS))
    except InvalidParameter as error:
        error.parameter = f"{file}{error.parameter.lstrip('.')}"
        error.args = (f"{file}{str(error).lstrip('.')}",)
        raise
    return found


def _value(value: Any, deep: bool = False) -> str:
    """A value in TOML; a long list has one line per item."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Escapes of JSON are those of TOML, except for a control character that JSON does not escape.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidParameter(
            "config", allowed="finite numbers", received=value, fix="TOML has infinities, but no argument accepts one."
        )
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        parts = [f"{key if BARE.fullmatch(key) else _value(key)} = {_value(item, True)}" for key, item in value.items()]
        return f"{{ {', '.join(parts)} }}" if parts else "{}"
    if isinstance(value, (list, tuple)):
        parts = [_value(item, True) for item in value]
        line = f"[{', '.join(parts)}]"
        return line if deep or len(line) <= WIDTH else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    raise InvalidParameter(
        "config", allowed="text, numbers, lists and tables", received=value, fix="Write it with to_plain first."
    )
