"""torchvision where its compiled operators do not fit the installed PyTorch, as beside a CPU build that has no counterpart.

Its classifiers need none of these operators: declaring two of them lets the package be imported. For tests, benchmarks and the
page of architectures.
"""

from __future__ import annotations

import importlib.util
from typing import Any

DECLARED: list[Any] = []
"""The libraries that declare them: what they declare goes away with them."""


def declare() -> None:
    """Make ``import torchvision`` work, where the package is installed; transformers and timm import it, too."""
    if DECLARED or any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision")):
        return
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        DECLARED.append(library)
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")


def usable(package: str) -> Any:
    """The package, imported beside pretended operators; the test is skipped where it is not installed."""
    import pytest

    declare()
    return pytest.importorskip(package)
