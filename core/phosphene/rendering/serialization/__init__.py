"""Recipes, objectives and runs to and from plain data, for JSON and TOML, that a person can read and change."""

from __future__ import annotations

from phosphene.rendering.serialization.plain import from_plain, same, to_plain
from phosphene.rendering.serialization.runs import Run, plain_run, read_parts, read_run, recipe_text
from phosphene.rendering.serialization.values import checked_keys

__all__ = [
    "Run",
    "checked_keys",
    "from_plain",
    "plain_run",
    "read_parts",
    "read_run",
    "recipe_text",
    "same",
    "to_plain",
]
