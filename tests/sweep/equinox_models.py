"""Equinox: modules as its examples write them, which take one image, channels first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from sweep.architectures import Architecture

SIDE = 32


class Convolutions(eqx.Module):
    """A list of layers and functions, as in the example of handwritten digits."""

    layers: list[Any]

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 4)
        self.layers = [
            eqx.nn.Conv2d(3, 8, kernel_size=4, key=keys[0]),
            eqx.nn.MaxPool2d(kernel_size=2),
            jax.nn.relu,
            eqx.nn.Conv2d(8, 12, kernel_size=3, key=keys[1]),
            jax.nn.relu,
            jnp.ravel,
            eqx.nn.Linear(12 * 26 * 26, 32, key=keys[2]),
            jax.nn.sigmoid,
            eqx.nn.Linear(32, 10, key=keys[3]),
        ]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x


class Attention(eqx.Module):
    norm1: eqx.nn.LayerNorm
    norm2: eqx.nn.LayerNorm
    attention: eqx.nn.MultiheadAttention
    linear1: eqx.nn.Linear
    linear2: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, width: int, key: Any) -> None:
        keys = jax.random.split(key, 3)
        self.norm1, self.norm2 = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.attention = eqx.nn.MultiheadAttention(4, width, key=keys[0])
        self.linear1 = eqx.nn.Linear(width, 2 * width, key=keys[1])
        self.linear2 = eqx.nn.Linear(2 * width, width, key=keys[2])
        self.dropout = eqx.nn.Dropout(0.1)

    def __call__(self, x: jax.Array, enable_dropout: bool, key: Any) -> jax.Array:
        y = jax.vmap(self.norm1)(x)
        x = x + self.attention(y, y, y)
        y = jax.nn.gelu(jax.vmap(self.linear1)(jax.vmap(self.norm2)(x)))
        return x + self.dropout(jax.vmap(self.linear2)(y), inference=not enable_dropout, key=key)


class Transformer(eqx.Module):
    """A vision transformer that takes a key and a switch, as the example writes it."""

    embedding: eqx.nn.Linear
    position: jax.Array
    token: jax.Array
    blocks: list[Attention]
    mlp: eqx.nn.Sequential
    side: int = eqx.field(static=True)

    def __init__(self, key: Any, width: int = 32) -> None:
        keys = jax.random.split(key, 6)
        self.side = 8
        self.embedding = eqx.nn.Linear(3 * 64, width, key=keys[0])
        self.position = 0.02 * jax.random.normal(keys[1], ((SIDE // 8) ** 2 + 1, width))
        self.token = jax.random.normal(keys[2], (1, width))
        self.blocks = [Attention(width, keys[3]), Attention(width, keys[4])]
        self.mlp = eqx.nn.Sequential([eqx.nn.LayerNorm(width), eqx.nn.Linear(width, 10, key=keys[5])])

    def __call__(self, x: jax.Array, enable_dropout: bool = False, key: Any = None) -> jax.Array:
        rows, columns = x.shape[1] // self.side, x.shape[2] // self.side
        patches = x.reshape(3, rows, self.side, columns, self.side).transpose(1, 3, 0, 2, 4).reshape(rows * columns, -1)
        x = jnp.concatenate([self.token, jax.vmap(self.embedding)(patches)]) + self.position
        for block in self.blocks:
            x = block(x, enable_dropout, key)
        return self.mlp(x[0])


class Perceptron(eqx.Module):
    mlp: eqx.nn.MLP

    def __init__(self, key: Any) -> None:
        self.mlp = eqx.nn.MLP(SIDE * SIDE * 3, 10, 32, 2, key=key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.mlp(x.ravel())


class Stateful(eqx.Module):
    """Batch normalisations, whose statistics are in a state beside the module."""

    conv1: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm
    conv2: eqx.nn.Conv2d
    norm2: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 3)
        self.conv1 = eqx.nn.Conv2d(3, 16, 3, padding=1, key=keys[0])
        self.norm1 = eqx.nn.BatchNorm(16, axis_name="batch", mode="batch")
        self.conv2 = eqx.nn.Conv2d(16, 24, 3, stride=2, padding=1, key=keys[1])
        self.norm2 = eqx.nn.BatchNorm(24, axis_name="batch", mode="batch")
        self.head = eqx.nn.Linear(24, 10, key=keys[2])

    def __call__(self, x: jax.Array, state: Any) -> Any:
        x, state = self.norm1(self.conv1(x), state)
        x, state = self.norm2(self.conv2(jax.nn.relu(x)), state)
        return self.head(jnp.mean(jax.nn.relu(x), axis=(1, 2))), state


class MixerBlock(eqx.Module):
    patches: eqx.nn.MLP
    channels: eqx.nn.MLP
    norm1: eqx.nn.LayerNorm
    norm2: eqx.nn.LayerNorm

    def __init__(self, count: int, width: int, key: Any) -> None:
        one, other = jax.random.split(key)
        self.patches = eqx.nn.MLP(count, count, 24, depth=1, key=one)
        self.channels = eqx.nn.MLP(width, width, 48, depth=1, key=other)
        self.norm1, self.norm2 = eqx.nn.LayerNorm((width, count)), eqx.nn.LayerNorm((count, width))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + jax.vmap(self.patches)(self.norm1(x))
        x = x.T
        x = x + jax.vmap(self.channels)(self.norm2(x))
        return x.T


class Mixer(eqx.Module):
    """Patches and channels mixed in turn, as in the example of a diffusion model."""

    stem: eqx.nn.Conv2d
    blocks: list[MixerBlock]
    out: eqx.nn.ConvTranspose2d

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 4)
        self.stem = eqx.nn.Conv2d(3, 24, 4, stride=4, key=keys[0])
        self.blocks = [MixerBlock((SIDE // 4) ** 2, 24, keys[1]), MixerBlock((SIDE // 4) ** 2, 24, keys[2])]
        self.out = eqx.nn.ConvTranspose2d(24, 3, 4, stride=4, key=keys[3])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        channels, rows, columns = x.shape
        x = x.reshape(channels, rows * columns)
        for block in self.blocks:
            x = block(x)
        return self.out(x.reshape(channels, rows, columns))


class Residual(eqx.Module):
    """A residual network of group normalisations, with a sequence of its own layers."""

    stem: eqx.nn.Sequential
    branch: eqx.nn.Sequential
    head: eqx.nn.Linear

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 4)
        self.stem = eqx.nn.Sequential(
            [
                eqx.nn.Conv2d(3, 16, 3, stride=2, padding=1, key=keys[0]),
                eqx.nn.GroupNorm(4, 16),
                eqx.nn.Lambda(jax.nn.relu),
            ]
        )
        self.branch = eqx.nn.Sequential(
            [
                eqx.nn.Conv2d(16, 16, 3, padding=1, key=keys[1]),
                eqx.nn.Lambda(jax.nn.leaky_relu),
                eqx.nn.Conv2d(16, 16, 3, padding=1, key=keys[2]),
            ]
        )
        self.head = eqx.nn.Linear(16, 10, key=keys[3])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        x = jax.nn.relu(x + self.branch(x))
        return self.head(eqx.nn.AdaptiveAvgPool2d(1)(x).ravel())


MODELS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "CNN": (Convolutions, True),
    "vision transformer": (Transformer, False),
    "MLP": (Perceptron, False),
    "batch normalisation": (Stateful, False),
    "mixer": (Mixer, False),
    "residual": (Residual, False),
}


def architectures() -> Iterator[Architecture]:
    """Yield all."""
    for name, (kind, quick) in MODELS.items():
        yield Architecture("equinox", "equinox", name, functools.partial(_made, kind), SIDE, {}, quick)


def _made(kind: Callable[[Any], Any]) -> Any:
    if kind is Stateful:
        model, state = eqx.nn.make_with_state(kind)(jax.random.key(0))
        # Used in evaluation mode before it has seen an image, a batch normalisation refuses.
        images = jax.random.normal(jax.random.key(1), (4, 3, SIDE, SIDE))
        _, state = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(images, state)
        return eqx.nn.inference_mode(model), state
    return kind(jax.random.key(0))
