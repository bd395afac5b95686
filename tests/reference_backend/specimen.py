"""The embedded networks as models of the reference backend: what `ReferenceBackend.build` makes."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import autograd.numpy as xp
import numpy as np

from phosphene.specimen.architecture import EPSILON, Architecture
from phosphene.specimen.weights import check
from phosphene.types import Array, Floats
from reference_backend.backend import Model, convolution, relu

Run = Generator[tuple[str, Array], Array, Array]


def specimen(weights: Mapping[str, Array], x: Array) -> Run:
    """See `phosphene.specimen.Architecture`; from normalised images ``(N, H, W, 3)`` to logits ``(N, classes)``."""

    def unit(path: str, conv: str, norm: str, x: Array, stride: int) -> Run:
        kernel = xp.transpose(weights[f"{path}.{conv}.weight"], (2, 3, 1, 0))
        x = yield f"{path}.{conv}", convolution(x, kernel, stride=stride, pad=kernel.shape[0] // 2)
        scale, shift, mean, variance = (
            weights[f"{path}.{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        return (yield f"{path}.{norm}", (x - mean) * (scale / xp.sqrt(variance + EPSILON)) + shift)

    x = yield "stem", relu((yield from unit("stem", "conv", "norm", x, 2)))
    for stage, stride in (("stage1", 1), ("stage2", 2), ("stage3", 2)):
        y = relu((yield from unit(stage, "conv1", "norm1", x, stride)))
        y = yield from unit(stage, "conv2", "norm2", y, 1)
        short_cut = yield from unit(stage, "project", "project_norm", x, stride)
        x = yield stage, relu(y + short_cut)
    return (yield "head", xp.mean(x, axis=(1, 2)) @ weights["head.weight"].T + weights["head.bias"])


def build(architecture: Architecture, weights: Mapping[str, Floats]) -> Model:
    """An embedded network with its weights, in PyTorch's names and layout; copied."""
    check(architecture, weights, architecture.name)
    return Model(specimen, {path: np.array(value) for path, value in weights.items()})
