"""Recipes and objectives to and from plain data: what JSON and TOML can hold, and a person can read and change."""

from __future__ import annotations

from phosphene.declaring.plain import from_plain, same, to_plain
from phosphene.declaring.runs import Run, plain_run, read_parts, read_run
from phosphene.declaring.values import checked_keys

__all__ = ["Run", "checked_keys", "from_plain", "plain_run", "read_parts", "read_run", "same", "to_plain"]
