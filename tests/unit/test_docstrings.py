"""Every public name says what it takes, what it gives back and what it raises."""

from __future__ import annotations

import inspect
import re
from types import ModuleType
from typing import Any

import pytest

import phosphene as ph


def sections(docstring: str) -> dict[str, str]:
    """The sections of a NumPy-style docstring by title."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(section: str) -> set[str]:
    """Names at the left margin of a section: ``mean, std : tuple of float`` documents two."""
    heads = (line.partition(":")[0] for line in section.splitlines() if line and not line[0].isspace())
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def undocumented(value: Any) -> list[str]:
    """What the docstring of a public function or class leaves out."""
    docstring = inspect.cleandoc(value.__doc__ or "")
    if not docstring:
        return ["docstring"]
    parts = sections(docstring)
    if inspect.isclass(value) and getattr(value, "_is_protocol", False):
        wanted = set(value.__annotations__)
    elif inspect.isclass(value) and "__init__" not in vars(value):
        wanted = set()
    else:
        wanted = set(inspect.signature(value).parameters)
    names = documented(parts.get("Parameters", "")) | documented(parts.get("Attributes", ""))
    missing = [f"parameter {name}" for name in sorted(wanted - names)]
    if inspect.isfunction(value) and "Returns" not in parts:
        missing.append("section Returns")
    return missing


PUBLIC = {name: getattr(ph, name) for name in ph.__all__}
PUBLIC |= {
    f"{namespace}.{name}": getattr(module, name)
    for namespace, module in PUBLIC.items()
    if isinstance(module, ModuleType)
    for name in module.__all__
    if callable(getattr(module, name))
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    found = PUBLIC[name]
    assert found.__doc__ if isinstance(found, ModuleType) else undocumented(found) == []
