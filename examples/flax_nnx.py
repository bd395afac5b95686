"""A flax.nnx module: every submodule is a layer.

The network is the specimen, with batch normalisations folded into the convolutions before them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

import phosphene as ph
import trained
from show import run


def convolution(weights: trained.Convolution, stride: int = 1) -> nnx.Conv:
    height, width, inputs, outputs = weights.hwio.shape
    # Explicit padding: "SAME" with a stride pads only the far edge, PyTorch, which trained this network, both edges.
    conv = nnx.Conv(inputs, outputs, (height, width), strides=stride, padding=height // 2, rngs=nnx.Rngs(0))
    conv.kernel[...], conv.bias[...] = jnp.asarray(weights.hwio), jnp.asarray(weights.bias)
    return conv


class Stage(nnx.Module):
    def __init__(self, index: int, stride: int) -> None:
        first, second, project = trained.stage(index)
        self.conv1 = convolution(first, stride)
        self.conv2 = convolution(second)
        self.project = convolution(project, stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.conv2(nnx.relu(self.conv1(x))) + self.project(x))


class Classifier(nnx.Module):
    """From normalised images ``(N, H, W, 3)`` to logits ``(N, 18)``."""

    def __init__(self) -> None:
        self.stem = convolution(trained.layer("stem.conv", "stem.norm"), stride=2)
        self.stages = nnx.List([Stage(1, 1), Stage(2, 2), Stage(3, 2)])
        weight, bias = trained.head()
        self.head = nnx.Linear(weight.shape[1], weight.shape[0], rngs=nnx.Rngs(0))
        self.head.kernel[...], self.head.bias[...] = jnp.asarray(weight.T), jnp.asarray(bias)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.relu(self.stem(images))
        for stage in self.stages:
            x = stage(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


def network() -> ph.Network:
    """Return the module, wrapped for phosphene."""
    return ph.wrap(Classifier(), size=64, mean=trained.MEAN, std=trained.STD, classes=trained.CLASSES, name="nnx")


if __name__ == "__main__":
    run(network(), "stages.1", size=96)
