"""A whole run as one TOML file: the network, what is maximised, and the recipe.

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

What a file leaves out is left to the function that it is for. The name of a model is for `phosphene.load`, which imports what
"package.module:factory" names: a run is one's own, or looked at before it is run.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phosphene.declaring import checked_keys, read_parts
from phosphene.declaring.runs import MOST_OBJECTIVES, MOST_STEPS, PARTS, read_preset
from phosphene.declaring.table import LARGEST_SIDE
from phosphene.declaring.values import Reader, checked_depth, items, size, text, truth, whole
from phosphene.errors import InvalidParameter
from phosphene.writing import check_writable, write_whole

__all__ = ["SECTIONS", "check_config", "read_config", "save_config"]

SIZE = size(2, LARGEST_SIDE)

SECTIONS: Mapping[str, Mapping[str, Reader]] = {
    "model": {"name": text, "backend": text, "weights": text, "input_size": SIZE},
    "run": {
        "targets": items(text, 1, MOST_OBJECTIVES),
        "size": SIZE,
        "steps": whole(1, MOST_STEPS),
        "seed": whole(0, 2**128 - 1),
        "preset": read_preset,
        "out": text,
        "slots": whole(1),
        "patience": whole(1),
        "warm_up": whole(0, MOST_STEPS),
        "crop": truth,
    },
}
"""Keys of the file by section, and what reads them; those of [recipe] are the parts of a recipe."""

WIDTH = 100
BARE = re.compile(r"[A-Za-z0-9_-]+")


def read_config(path: str | Path) -> dict[str, dict[str, Any]]:
    """A run from a TOML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        "model", "run" and "recipe", each with what the file says and nothing else; the parts of the recipe are made, as arguments
        of `phosphene.render`.

    Raises
    ------
    InvalidParameter
        For what is no TOML; for unknown sections and keys, with the nearest ones; for values of another type, or out of range.
    FileNotFoundError
        When there is no such file.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # what is no TOML, and no UTF-8, is a ValueError
        raise InvalidParameter(
            "config", allowed="a TOML file", received=str(path), fix=f"{str(error)[:200]}. See phosphene.configuring."
        ) from error
    return _checked(data, f"{path}: ")


def save_config(path: str | Path, data: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a run as a TOML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in .toml.
    data : mapping
        "model", "run" and "recipe", each a mapping of plain data, as `phosphene.declaring.to_plain` makes them; what is None is
        left out.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameter
        For another ending, and for what `read_config` would refuse.
    UnwritablePath
        When it cannot be written.
    """
    target = Path(path)
    if target.suffix != ".toml":
        raise InvalidParameter(
            "path", allowed="a name that ends in .toml", received=str(path), fix=f"{target.with_suffix('.toml')}"
        )
    check_writable(target)
    kept = check_config(data)
    lines: list[str] = []
    for section, values in kept.items():
        lines += [f"[{section}]", *(f"{key} = {_value(value)}" for key, value in values.items()), ""]
    write_whole(target, "\n".join(lines).encode())
    return target


def check_config(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A run as it would be written, without what is None and without empty sections.

    Parameters
    ----------
    data : mapping
        As for `save_config`.

    Returns
    -------
    dict

    Raises
    ------
    InvalidParameter
        For what `read_config` would refuse.
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
    """Every section and key by its reader; the recipe's parts are made."""
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
    """A value as TOML writes it; a long list has a line an item."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one control character that JSON lets stand.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidParameter("config", allowed="finite numbers", received=value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        parts = [f"{key if BARE.fullmatch(key) else _value(key)} = {_value(item, True)}" for key, item in value.items()]
        return f"{{ {', '.join(parts)} }}" if parts else "{}"
    if isinstance(value, (list, tuple)):
        parts = [_value(item, True) for item in value]
        line = f"[{', '.join(parts)}]"
        return line if deep or len(line) <= WIDTH else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    raise InvalidParameter("config", allowed="text, numbers, lists and names with values", received=value)
