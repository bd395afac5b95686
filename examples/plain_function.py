"""A plain JAX function and its parameters, as a pair; layers are named with ``checkpoint_name``.

The network is the specimen, in twenty lines of ``jax.lax``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

import phosphene as ph
import trained
from show import run


def convolve(x: jax.Array, weights: dict[str, Any], stride: int = 1) -> jax.Array:
    side = weights["kernel"].shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    padding = [(side, side)] * 2
    y = jax.lax.conv_general_dilated(x, weights["kernel"], (stride, stride), padding, dimension_numbers=layout)
    return y + weights["bias"]


def classify(parameters: dict[str, Any], images: jax.Array) -> jax.Array:
    """From normalised images ``(N, H, W, 3)`` to logits ``(N, 18)``."""
    x = checkpoint_name(jax.nn.relu(convolve(images, parameters["stem"], stride=2)), "stem")
    for index, stride in ((1, 1), (2, 2), (3, 2)):
        first, second, project = parameters[f"stage{index}"]
        y = jax.nn.relu(convolve(x, first, stride))
        x = jax.nn.relu(convolve(y, second) + convolve(x, project, stride))
        x = checkpoint_name(x, f"stage{index}")
    return jnp.mean(x, axis=(1, 2)) @ parameters["head"]["weight"].T + parameters["head"]["bias"]


def parameters() -> dict[str, Any]:
    """Return the specimen's weights as a tree of arrays."""

    def one(convolution: trained.Convolution) -> dict[str, Any]:
        return {"kernel": jnp.asarray(convolution.hwio), "bias": jnp.asarray(convolution.bias)}

    weight, bias = trained.head()
    stages = {f"stage{index}": [one(part) for part in trained.stage(index)] for index in (1, 2, 3)}
    head = {"weight": jnp.asarray(weight), "bias": jnp.asarray(bias)}
    return {"stem": one(trained.layer("stem.conv", "stem.norm")), **stages, "head": head}


def network() -> ph.Network:
    """Return function and parameters, wrapped for phosphene."""
    return ph.wrap(
        (classify, parameters()), size=64, mean=trained.MEAN, std=trained.STD, classes=trained.CLASSES, name="function"
    )


if __name__ == "__main__":
    run(network(), "stage2", size=96)
