"""Coverage of a backward rule: which nonlinearities between image and target it reaches, and which keep their own gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phosphene.ascent.step import read
from phosphene.backend import Network, native
from phosphene.findings import RECTIFIERS
from phosphene.objectives.forms import Form
from phosphene.types import Array, Size, Tree

__all__ = ["Coverage", "coverage_of"]

NO_RECTIFIERS = frozenset({"softmax", "log_softmax"})
"""Nonlinearities on which such a rule is not expected to act."""


@dataclass(frozen=True)
class Coverage:
    """The nonlinearities on the way from the image to a target. Prints as ``guided: 49 of 53 nonlinearities; untouched: 4 gelu``.

    Attributes
    ----------
    rule : str
        Name of the rule.
    counts : mapping of str to int
        Number of nonlinearities by name.
    """

    rule: str
    counts: Mapping[str, int]

    @property
    def reached(self) -> int:
        """Number of those that the rule reaches."""
        return sum(count for name, count in self.counts.items() if name in RECTIFIERS)

    @property
    def untouched(self) -> str:
        """Those that the rule does not reach, as text."""
        others = {name: count for name, count in self.counts.items() if name not in RECTIFIERS | NO_RECTIFIERS}
        return ", ".join(f"{count} {name}" for name, count in sorted(others.items()))

    def warning(self, what: str, result: str) -> str:
        """The sentence that says that the rule reached nothing: `what` is plain, so that `result`."""
        found = f"the nonlinearities on the way are {self.untouched}" if self.untouched else "there is no nonlinearity"
        return (
            f"{what} reached no rectified linear unit between image and target ({found}), so {result}. It acts on ReLU, ReLU6 and "
            "other clipped rectifiers only."
        )

    def __str__(self) -> str:
        total = sum(count for name, count in self.counts.items() if name not in NO_RECTIFIERS)
        line = f"{self.rule}: {self.reached} of {total} nonlinearities"
        return f"{line}; untouched: {self.untouched}" if self.untouched else line


def coverage_of(network: Network, form: Form, weights: Tree, size: Size, rule: str) -> Coverage:
    """Count the nonlinearities between an image of `size` and the layers of `form`, by one pass over a grey image.

    Parameters
    ----------
    network : Network
        In its scope.
    form : Form
        What is read.
    weights : Tree
        Weights of the network.
    size : (int, int)
        Height and width of the image.
    rule : str
        Name of the rule.

    Returns
    -------
    Coverage
    """

    def forward(images: Array) -> object:
        return read(network, images, form, weights)

    grey = np.full((1, *size, network.input.channels), 0.5)
    return Coverage(rule, dict(network.backend.nonlinearities(forward, native(network, grey))))
