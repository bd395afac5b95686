"""Weights for the examples: the specimen's convolutions, with batch normalisations folded into them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phosphene import specimen
from phosphene.specimen.architecture import EPSILON

__all__ = ["CLASSES", "MEAN", "STD", "Convolution", "head", "layer"]

ARCHITECTURE, WEIGHTS = specimen.load("specimen")
CLASSES, MEAN, STD = ARCHITECTURE.classes, ARCHITECTURE.mean, ARCHITECTURE.std


class Convolution(NamedTuple):
    """A convolution and its bias; `kernel` is ``(outputs, inputs, height, width)``, as in PyTorch."""

    kernel: NDArray[Any]
    bias: NDArray[Any]

    @property
    def hwio(self) -> NDArray[Any]:
        """The kernel as in flax: ``(height, width, inputs, outputs)``."""
        return self.kernel.transpose(2, 3, 1, 0)


def layer(convolution: str, normalisation: str) -> Convolution:
    """Return ``norm(conv(x))`` as one convolution: in evaluation mode, batch normalisation is a scale and an offset."""
    norm = {name: WEIGHTS[f"{normalisation}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
    scale = norm["weight"] / np.sqrt(norm["running_var"] + EPSILON)
    kernel = WEIGHTS[f"{convolution}.weight"] * scale[:, None, None, None]
    return Convolution(kernel, norm["bias"] - norm["running_mean"] * scale)


def head() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the last linear layer: weight ``(classes, channels)`` and bias."""
    return WEIGHTS["head.weight"], WEIGHTS["head.bias"]


def stage(index: int) -> tuple[Convolution, Convolution, Convolution]:
    """Return the two convolutions of a residual stage, and that of its shortcut."""
    name = f"stage{index}"
    first, second = layer(f"{name}.conv1", f"{name}.norm1"), layer(f"{name}.conv2", f"{name}.norm2")
    return first, second, layer(f"{name}.project", f"{name}.project_norm")
