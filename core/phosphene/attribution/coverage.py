"""Coverage of a backward rule: which nonlinearities it acts on, and which it leaves unchanged."""

from __future__ import annotations

from phosphene.ascent.step import read
from phosphene.attribution.evaluation import Task
from phosphene.backend import native
from phosphene.types import Array

__all__ = ["coverage_of"]

NO_RECTIFIERS = frozenset({"softmax", "log_softmax"})
"""Nonlinearities on which such a rule is not expected to act."""


def coverage_of(task: Task, rule: str) -> str:
    """Coverage on the path from the image to the target, as text: ``"guided: 49 of 53 nonlinearities; untouched: 4 gelu"``."""
    network = task.network

    def forward(images: Array) -> object:
        return read(network, images, task.form, task.weights)

    counts = dict(network.backend.nonlinearities(forward, native(network, task.images[:1])))
    others = {name: count for name, count in counts.items() if name != "relu" and name not in NO_RECTIFIERS}
    reached = counts.get("relu", 0)
    untouched = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
    line = f"{rule}: {reached} of {reached + sum(others.values())} nonlinearities"
    return f"{line}; untouched: {untouched}" if untouched else line
