"""Architectures of the embedded networks: three small residual networks, which each backend builds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from phosphene.data.photographs import PHOTOGRAPHS

__all__ = ["ARCHITECTURES", "EPSILON", "Architecture", "parameter_count", "parameter_shapes"]

EPSILON = 1e-5
"""Epsilon of every batch normalisation."""


@dataclass(frozen=True)
class Architecture:
    """A stem of stride 2, three residual stages (the last two of stride 2), global average pooling and a linear layer.

    A stage is one residual block of two 3 x 3 convolutions with a 1 x 1 convolution as its shortcut (He et al. 2016,
    "Deep residual learning for image recognition"). Every convolution is followed by batch normalisation; the stem and every
    stage end in a ReLU.

    Attributes
    ----------
    name : str
    stem : int
        Number of channels of the stem.
    widths : (int, int, int)
        Numbers of channels of ``stage1``, ``stage2`` and ``stage3``.
    seed : int
        Random seed of the training.
    shortcut : bool, default False
        Whether the training data contain planted shortcuts.
    classes : tuple of str
        Class names in the order of the logits (default: one class per photograph).
    size : int, default 64
        Input size of the training, in pixels per side; heights and widths from 16 are supported.
    mean, std : tuple of float
        Normalisation of the input, one value per channel.
    """

    name: str
    stem: int
    widths: tuple[int, int, int]
    seed: int
    shortcut: bool = False
    classes: tuple[str, ...] = tuple(photograph.name for photograph in PHOTOGRAPHS)
    size: int = 64
    mean: tuple[float, ...] = (0.45, 0.43, 0.41)
    std: tuple[float, ...] = (0.26, 0.26, 0.26)


ARCHITECTURES: dict[str, Architecture] = {
    "specimen": Architecture("specimen", stem=24, widths=(32, 64, 128), seed=0),
    "specimen-witness": Architecture("specimen-witness", stem=20, widths=(40, 72, 112), seed=101),
    "specimen-shortcut": Architecture("specimen-shortcut", stem=24, widths=(32, 64, 128), seed=7, shortcut=True),
}
"""By name: the specimen, a witness of another seed and width that is never optimised for, and one with planted shortcuts."""


def parameter_shapes(architecture: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of all stored arrays, in PyTorch's layout (convolutions are out, in, height, width)."""
    yield from _convolution("stem.conv", "stem.norm", 3, architecture.stem, 3)
    width = architecture.stem
    for index, wider in enumerate(architecture.widths, start=1):
        yield from _convolution(f"stage{index}.conv1", f"stage{index}.norm1", width, wider, 3)
        yield from _convolution(f"stage{index}.conv2", f"stage{index}.norm2", wider, wider, 3)
        yield from _convolution(f"stage{index}.project", f"stage{index}.project_norm", width, wider, 1)
        width = wider
    yield "head.weight", (len(architecture.classes), width)
    yield "head.bias", (len(architecture.classes),)


def parameter_count(architecture: Architecture) -> int:
    """Return the number of trainable values, without the running statistics of batch normalisation."""
    return sum(math.prod(shape) for key, shape in parameter_shapes(architecture) if ".running_" not in key)


def _convolution(conv: str, norm: str, inputs: int, outputs: int, side: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{conv}.weight", (outputs, inputs, side, side)
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{norm}.{name}", (outputs,)
