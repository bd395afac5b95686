"""What the sweep goes through: one declaration per architecture, from four sources."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SOURCES", "Architecture", "architectures"]

SOURCES = {
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
    "jax": "jax",
    "equinox": "equinox",
}
"""The sources, each a module ``sweep.SOURCE_models``, and the package without which its architectures are skipped."""


@dataclass(frozen=True)
class Architecture:
    """An architecture with random weights.

    Attributes
    ----------
    source : str
        One of `SOURCES`.
    family : str
        What it is a member of.
    name : str
        Unique in its source.
    make : callable
        Returns the model, in evaluation mode.
    size : int
        Side of its images in pixels.
    wrapping : mapping, default {}
        Further arguments of `phosphene.wrap`, such as ``inputs=``.
    quick : bool, default False
        Whether it belongs to the quick tier, which runs with the slow tests.
    """

    source: str
    family: str
    name: str
    make: Callable[[], Any]
    size: int
    wrapping: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False

    @property
    def key(self) -> str:
        return f"{self.source}:{self.name}"


def architectures(source: str) -> Iterator[Architecture]:
    """Yield the architectures of a source, without building any."""
    yield from importlib.import_module(f"sweep.{source}_models").architectures()
