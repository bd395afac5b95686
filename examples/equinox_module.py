"""An Equinox module, which takes one image ``(C, H, W)``: phosphene maps it over the batch and reads its layers channel-last.

The network is the specimen, with batch normalisations folded into the convolutions before them.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

import phosphene as ph
import trained
from show import run


def convolution(weights: trained.Convolution, stride: int = 1) -> eqx.nn.Conv2d:
    outputs, inputs, side, _ = weights.kernel.shape
    conv = eqx.nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, key=jax.random.key(0))
    given = jnp.asarray(weights.kernel), jnp.asarray(weights.bias)[:, None, None]
    return eqx.tree_at(lambda module: (module.weight, module.bias), conv, given)


class Stage(eqx.Module):
    conv1: eqx.nn.Conv2d
    conv2: eqx.nn.Conv2d
    project: eqx.nn.Conv2d

    def __init__(self, index: int, stride: int) -> None:
        first, second, project = trained.stage(index)
        self.conv1, self.conv2 = convolution(first, stride), convolution(second)
        self.project = convolution(project, stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.conv2(jax.nn.relu(self.conv1(x))) + self.project(x))


class Classifier(eqx.Module):
    """From one normalised image ``(3, H, W)`` to logits ``(18,)``."""

    stem: eqx.nn.Conv2d
    stages: list[Stage]
    head: eqx.nn.Linear

    def __init__(self) -> None:
        self.stem = convolution(trained.layer("stem.conv", "stem.norm"), stride=2)
        self.stages = [Stage(1, 1), Stage(2, 2), Stage(3, 2)]
        weight, bias = trained.head()
        linear = eqx.nn.Linear(weight.shape[1], weight.shape[0], key=jax.random.key(0))
        given = jnp.asarray(weight), jnp.asarray(bias)
        self.head = eqx.tree_at(lambda module: (module.weight, module.bias), linear, given)

    def __call__(self, image: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.stem(image))
        for stage in self.stages:
            x = stage(x)
        return self.head(jnp.mean(x, axis=(1, 2)))


def network() -> ph.Network:
    """Return the module, wrapped for phosphene."""
    return ph.wrap(Classifier(), size=64, mean=trained.MEAN, std=trained.STD, classes=trained.CLASSES, name="equinox")


if __name__ == "__main__":
    run(network(), "stages.1", size=96)
