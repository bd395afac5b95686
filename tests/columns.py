"""The columns of the suite: which backends there are, what they need, and what one of them leaves out, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pytest

from reference_backend.offers import NOT_OFFERED

Made = TypeVar("Made")

REFERENCE = "numpy-reference"
BACKENDS = {"torch": "torch", "jax": "jax", REFERENCE: "autograd"}
"""Each backend, and the package without which its tests are skipped."""

OUTPUT_AXIS = {"torch": 0, "jax": -1, REFERENCE: 0}
"""Where the output channels are in the weights of a specimen."""


def chosen(table: Mapping[str, Made], backend: str, need: str = "") -> Made:
    """The entry of a backend in a table that has one for each; skips where the backend has said that it lacks what is needed."""
    if backend not in table and need in NOT_OFFERED:
        pytest.skip(reason(need))
    return table[backend]


def reason(need: str) -> str:
    """Why the reference backend leaves something out, as a line of pytest's summary."""
    return f"{REFERENCE}, {need}: {NOT_OFFERED[need]}"


def left_out(item: pytest.Item) -> str | None:
    """What keeps a test from the reference backend: a need that it is marked with, or the name of it, its file or its folder."""
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if not any(isinstance(value, str) and value == REFERENCE for value in given):
        return None
    needs = [need for mark in item.iter_markers("needs") for need in mark.args]
    names = [*needs, getattr(item, "originalname", item.name), item.path.stem, item.path.parent.name]
    return next((name for name in names if name in NOT_OFFERED), None)
