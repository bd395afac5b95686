"""The embedded networks as PyTorch modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from phosphene.specimen.architecture import EPSILON, Architecture
from phosphene.specimen.weights import check

__all__ = ["Specimen", "build"]


class Stem(nn.Module):
    """Convolution of stride 2, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x)))


class Stage(nn.Module):
    """One residual block with a 1 x 1 convolution as its shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.project = nn.Conv2d(inputs, outputs, 1, stride, 0, bias=False)
        self.project_norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.project_norm(self.project(x)))


class Specimen(nn.Module):
    """See `phosphene.specimen.Architecture`; from normalised images ``(N, 3, H, W)`` to logits ``(N, classes)``."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        first, second, third = architecture.widths
        self.stem = Stem(3, architecture.stem)
        self.stage1 = Stage(architecture.stem, first, 1)
        self.stage2 = Stage(first, second, 2)
        self.stage3 = Stage(second, third, 2)
        self.head = nn.Linear(third, len(architecture.classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def build(architecture: Architecture, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Build an embedded network with its weights, in evaluation mode.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to numpy.ndarray
        Weights with PyTorch's names and layout; copied.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    CorruptWeights
        If the weights do not fit.
    """
    check(architecture, weights, architecture.name)
    model = Specimen(architecture).eval()
    state = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
    # Not strict: the batch counters are not stored, and `check` has verified the rest.
    model.load_state_dict(state, strict=False)
    return model
