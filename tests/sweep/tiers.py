"""The quick tier: rows of the table that are tried again with the slow tests."""

from __future__ import annotations

import os
from typing import Any

import pytest

import pretend_operators
from sweep.architectures import SOURCES, architectures
from sweep.outcomes import BAD, read

__all__ = ["comes_out_as_in_the_table", "names"]

WHOLE = "PHOSPHENE_SWEEP"
"""The environment variable that, set to ``whole``, lets the tests try all architectures and not only the quick tier."""


def names(source: str) -> list[str]:
    """The architectures of a source to try, by the table, so that nothing is imported to tell them."""
    whole = os.environ.get(WHOLE) == "whole"
    return [row.name for row in read().values() if row.source == source and (row.quick or whole)]


def comes_out_as_in_the_table(source: str, name: str) -> None:
    """Try an architecture, and fail if anything is wrong or other than in the table."""
    usable(source)
    from sweep.trial import tried

    row = tried(next(item for item in architectures(source) if item.name == name))
    assert row.outcome not in BAD, row.reason
    differences = row.compared_with(read()[row.key])
    assert not differences, f"(before, now) {differences}; {row.reason}. Where that is right: make sweep"


def usable(source: str) -> Any:
    """Skip without the package of a source; PyTorch on one thread, as the workers of the suite have it."""
    pretend_operators.declare()
    package = pytest.importorskip(SOURCES[source])
    if source not in ("jax", "equinox"):
        import torch

        torch.set_num_threads(1)
    return package
