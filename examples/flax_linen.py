"""A flax.linen module and its variables, as a pair: every submodule is a layer.

The network is the specimen, with batch normalisations folded into the convolutions before them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

import phosphene as ph
import trained
from show import run


class Stage(nn.Module):
    width: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Explicit padding: "SAME" with a stride pads only the far edge, PyTorch, which trained this network, both edges.
        y = nn.relu(nn.Conv(self.width, (3, 3), self.stride, padding=1, name="conv1")(x))
        y = nn.Conv(self.width, (3, 3), padding=1, name="conv2")(y)
        return nn.relu(y + nn.Conv(self.width, (1, 1), self.stride, padding=0, name="project")(x))


class Classifier(nn.Module):
    """From normalised images ``(N, H, W, 3)`` to logits ``(N, 18)``."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(24, (3, 3), 2, padding=1, name="stem")(images))
        for index, width, stride in ((1, 32, 1), (2, 64, 2), (3, 128, 2)):
            x = Stage(width, stride, name=f"stage{index}")(x)
        return nn.Dense(18, name="head")(jnp.mean(x, axis=(1, 2)))


def variables() -> dict[str, Any]:
    """Return the specimen's weights as linen variables."""

    def one(weights: trained.Convolution) -> dict[str, jax.Array]:
        return {"kernel": jnp.asarray(weights.hwio), "bias": jnp.asarray(weights.bias)}

    weight, bias = trained.head()
    names = ("conv1", "conv2", "project")
    stages = {
        f"stage{index}": {name: one(part) for name, part in zip(names, trained.stage(index), strict=True)}
        for index in (1, 2, 3)
    }
    head = {"kernel": jnp.asarray(weight.T), "bias": jnp.asarray(bias)}
    return {"params": {"stem": one(trained.layer("stem.conv", "stem.norm")), **stages, "head": head}}


def network() -> ph.Network:
    """Return module and variables, wrapped for phosphene."""
    return ph.wrap(
        (Classifier(), variables()), size=64, mean=trained.MEAN, std=trained.STD, classes=trained.CLASSES, name="linen"
    )


if __name__ == "__main__":
    run(network(), "stage2", size=96)
