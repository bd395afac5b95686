"""The embedded networks as flax.nnx modules, with the same paths as the PyTorch ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from numpy.typing import NDArray

from phosphene.specimen.architecture import EPSILON, Architecture
from phosphene.specimen.weights import check
from phosphene.types import Array

__all__ = ["Specimen", "build"]

_NAMES: dict[type, dict[str, str]] = {
    nnx.BatchNorm: {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"},
    nnx.Conv: {"weight": "kernel"},
    nnx.Linear: {"weight": "kernel", "bias": "bias"},
}
"""Names of arrays in PyTorch to their names in flax."""


def _conv(inputs: int, outputs: int, side: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    # Explicit padding: "SAME" pads an image of even size only at the far edge, PyTorch at both edges.
    return nnx.Conv(inputs, outputs, (side, side), strides=stride, padding=side // 2, use_bias=False, rngs=rngs)


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    # The momentum of flax is the fraction that is kept, that of PyTorch (default: 0.1) the fraction that is replaced.
    return nnx.BatchNorm(channels, epsilon=EPSILON, momentum=0.9, use_running_average=True, rngs=rngs)


class Stem(nnx.Module):
    """Convolution of stride 2, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs) -> None:
        self.conv = _conv(inputs, outputs, 3, 2, rngs)
        self.norm = _norm(outputs, rngs)

    def __call__(self, x: Array) -> Array:
        return nnx.relu(self.norm(self.conv(x)))


class Stage(nnx.Module):
    """One residual block with a 1 x 1 convolution as its shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> None:
        self.conv1 = _conv(inputs, outputs, 3, stride, rngs)
        self.norm1 = _norm(outputs, rngs)
        self.conv2 = _conv(outputs, outputs, 3, 1, rngs)
        self.norm2 = _norm(outputs, rngs)
        self.project = _conv(inputs, outputs, 1, stride, rngs)
        self.project_norm = _norm(outputs, rngs)

    def __call__(self, x: Array) -> Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(self.norm2(self.conv2(y)) + self.project_norm(self.project(x)))


class Specimen(nnx.Module):
    """See `phosphene.specimen.Architecture`; from normalised images ``(N, H, W, 3)`` to logits ``(N, classes)``."""

    def __init__(self, architecture: Architecture, rngs: nnx.Rngs) -> None:
        first, second, third = architecture.widths
        self.stem = Stem(3, architecture.stem, rngs)
        self.stage1 = Stage(architecture.stem, first, 1, rngs)
        self.stage2 = Stage(first, second, 2, rngs)
        self.stage3 = Stage(second, third, 2, rngs)
        self.head = nnx.Linear(third, len(architecture.classes), rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return self.head(jnp.mean(x, axis=(1, 2)))


def build(architecture: Architecture, weights: Mapping[str, NDArray[Any]]) -> nnx.Module:
    """Build an embedded network with its weights, in evaluation mode.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to numpy.ndarray
        Weights with PyTorch's names and layout; convolutions are transposed to height, width, in, out.

    Returns
    -------
    nnx.Module

    Raises
    ------
    CorruptWeights
        If the weights do not fit.
    """
    check(architecture, weights, architecture.name)
    model = Specimen(architecture, nnx.Rngs(0))
    for key, value in weights.items():
        *path, leaf = key.split(".")
        part: Any = model
        for name in path:
            part = getattr(part, name)
        variable = getattr(part, _NAMES[type(part)][leaf])
        variable[...] = jnp.asarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T)
    return model
