"""flax: nnx and linen modules, written as the guides and examples of flax write them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from sweep.architectures import Architecture

SIDE = 32


class Convolutions(nnx.Module):
    """As the first tutorial of nnx: batch normalisations, dropout with a stream of its own, pooling by a partial."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 16, kernel_size=(3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(16, rngs=rngs)
        self.dropout1 = nnx.Dropout(rate=0.025, rngs=rngs)
        self.conv2 = nnx.Conv(16, 24, kernel_size=(3, 3), rngs=rngs)
        self.norm2 = nnx.BatchNorm(24, rngs=rngs)
        self.pool = functools.partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.linear1 = nnx.Linear(24 * (SIDE // 4) ** 2, 32, rngs=rngs)
        self.dropout2 = nnx.Dropout(rate=0.025, rngs=rngs)
        self.linear2 = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.pool(nnx.relu(self.norm1(self.dropout1(self.conv1(x)))))
        x = self.pool(nnx.relu(self.norm2(self.conv2(x))))
        x = x.reshape(x.shape[0], -1)
        return self.linear2(self.dropout2(nnx.relu(self.linear1(x))))


class Block(nnx.Module):
    """Linear, normalisation, dropout, as in the guides."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(inputs, outputs, rngs=rngs)
        self.norm = nnx.BatchNorm(outputs, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.dropout(self.norm(self.linear(x))))


class Blocks(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        widths = [SIDE * SIDE * 3, 32, 32, 32]
        self.blocks = nnx.List([Block(one, other, rngs=rngs) for one, other in itertools.pairwise(widths)])
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class ScannedBlocks(nnx.Module):
    """Blocks made by a vmap and run by a scan, as the guide to transforms writes them."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 16, (4, 4), strides=4, rngs=rngs)

        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def make(streams: nnx.Rngs) -> nnx.Module:
            return nnx.Linear(16, 16, rngs=streams)

        self.blocks = make(rngs)
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
        def run(block: Any, value: jax.Array) -> jax.Array:
            return value + nnx.gelu(block(value))

        return self.head(run(self.blocks, self.stem(x)).mean((1, 2)))


class Encoder(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.mlp = nnx.Sequential(
            nnx.Linear(width, 2 * width, rngs=rngs), nnx.gelu, nnx.Linear(2 * width, width, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nnx.Module):
    """A vision transformer with a class token."""

    def __init__(self, rngs: nnx.Rngs, width: int = 32) -> None:
        count = (SIDE // 8) ** 2 + 1
        self.patches = nnx.Conv(3, width, (8, 8), strides=(8, 8), padding="VALID", rngs=rngs)
        self.token = nnx.Param(jax.random.normal(rngs.params(), (1, 1, width)))
        self.position = nnx.Param(0.02 * jax.random.normal(rngs.params(), (1, count, width)))
        self.encoder = nnx.Sequential(*[Encoder(width, rngs) for _ in range(3)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        patches = self.patches(x)
        patches = patches.reshape(x.shape[0], -1, patches.shape[-1])
        tokens = jnp.concatenate([jnp.tile(self.token[...], (x.shape[0], 1, 1)), patches], axis=1)
        return self.head(self.norm(self.encoder(tokens + self.position[...]))[:, 0])


class Residual(nnx.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(inputs, outputs, (3, 3), strides=stride, use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(outputs, rngs=rngs)
        self.conv2 = nnx.Conv(outputs, outputs, (3, 3), use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(outputs, rngs=rngs)
        self.shortcut = nnx.Conv(inputs, outputs, (1, 1), strides=stride, rngs=rngs) if stride > 1 else None

    def __call__(self, x: jax.Array, is_train: bool = True) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x), use_running_average=not is_train))
        y = self.norm2(self.conv2(y), use_running_average=not is_train)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """With a switch of training that is an argument of the call."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.block1 = Residual(16, 16, 1, rngs)
        self.block2 = Residual(16, 24, 2, rngs)
        self.block3 = Residual(24, 32, 2, rngs)
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array, is_train: bool = True) -> jax.Array:
        x = nnx.relu(self.stem(x))
        for block in (self.block1, self.block2, self.block3):
            x = block(x, is_train)
        return self.head(x.mean((1, 2)))


class Autoencoder(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.encoder = nnx.Sequential(
            nnx.Conv(3, 16, (3, 3), strides=2, rngs=rngs),
            nnx.relu,
            nnx.Conv(16, 24, (3, 3), strides=2, rngs=rngs),
            nnx.relu,
        )
        self.decoder = nnx.Sequential(
            nnx.ConvTranspose(24, 16, (3, 3), strides=(2, 2), rngs=rngs),
            nnx.relu,
            nnx.ConvTranspose(16, 3, (3, 3), strides=(2, 2), rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.sigmoid(self.decoder(self.encoder(x)))


class LinenConvolutions(nn.Module):
    """As the example of handwritten digits writes it."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(features=16, kernel_size=(3, 3))(x)
        x = nn.avg_pool(nn.relu(x), window_shape=(2, 2), strides=(2, 2))
        x = nn.Conv(features=24, kernel_size=(3, 3))(x)
        x = nn.avg_pool(nn.relu(x), window_shape=(2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(features=32)(x.reshape((x.shape[0], -1))))
        return nn.Dense(features=10)(x)


class LinenBlock(nn.Module):
    filters: int
    conv: Any
    norm: Any
    strides: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.relu(self.norm()(self.conv(self.filters, (3, 3), self.strides)(x)))
        y = self.norm()(self.conv(self.filters, (3, 3))(y))
        if x.shape != y.shape:
            x = self.norm(name="norm_proj")(self.conv(self.filters, (1, 1), self.strides, name="conv_proj")(x))
        return nn.relu(x + y)


class LinenResNet(nn.Module):
    """As the example of ImageNet writes it: partials, and training by default."""

    sizes: tuple[int, ...] = (1, 1, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        conv = functools.partial(nn.Conv, use_bias=False)
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        x = nn.relu(norm(name="bn_init")(conv(16, (7, 7), (2, 2), padding=[(3, 3), (3, 3)], name="conv_init")(x)))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for stage, count in enumerate(self.sizes):
            for block in range(count):
                strides = (2, 2) if stage > 0 and block == 0 else (1, 1)
                x = LinenBlock(16 * 2**stage, conv, norm, strides)(x)
        return nn.Dense(10)(jnp.mean(x, axis=(1, 2)))


class MixerBlock(nn.Module):
    tokens: int
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = jnp.swapaxes(nn.LayerNorm()(x), 1, 2)
        y = nn.Dense(y.shape[-1])(nn.gelu(nn.Dense(self.tokens)(y)))
        x = x + jnp.swapaxes(y, 1, 2)
        y = nn.LayerNorm()(x)
        return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.channels)(y)))


class Mixer(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(32, (8, 8), strides=(8, 8), name="stem")(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        for _ in range(2):
            x = MixerBlock(24, 48)(x)
        return nn.Dense(10, name="head")(jnp.mean(nn.LayerNorm(name="norm")(x), axis=1))


class LinenEncoder(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        y = nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(x), deterministic=deterministic)
        x = x + nn.Dropout(0.1)(y, deterministic=deterministic)
        y = nn.gelu(nn.Dense(64)(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(y)


class LinenTransformer(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.Conv(32, (8, 8), strides=(8, 8), padding="VALID", name="embedding")(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        token = self.param("cls", nn.initializers.normal(0.02), (1, 1, 32))
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = x + self.param("position", nn.initializers.normal(0.02), (1, x.shape[1], 32))
        for _ in range(2):
            x = LinenEncoder()(x, deterministic=not train)
        return nn.Dense(10, name="head")(nn.LayerNorm(name="norm")(x)[:, 0])


class LinenVariational(nn.Module):
    """Encoder and decoder made in `setup`; it returns a picture, a mean and a spread."""

    def setup(self) -> None:
        self.conv = nn.Conv(16, (3, 3), strides=(2, 2))
        self.mean, self.spread = nn.Dense(8), nn.Dense(8)
        self.decoder = nn.Dense(SIDE * SIDE * 3)

    def __call__(self, x: jax.Array) -> Any:
        y = nn.relu(self.conv(x)).reshape((x.shape[0], -1))
        mean, spread = self.mean(y), self.spread(y)
        return nn.sigmoid(self.decoder(mean)), mean, spread


class LinenScanned(nn.Module):
    """Layers run by a scan, each of them checkpointed."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        class Step(nn.Module):
            @nn.compact
            def __call__(self, value: jax.Array, _: Any) -> Any:
                return value + nn.gelu(nn.Dense(16)(value)), None

        x = nn.Conv(16, (4, 4), strides=(4, 4))(x)
        stack = nn.scan(nn.remat(Step), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = stack()(x, None)
        return nn.Dense(10)(x.mean((1, 2)))


class LinenUNet(nn.Module):
    """A map of classes, from features of two sizes."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        high = nn.relu(nn.GroupNorm(4)(nn.Conv(16, (3, 3))(x)))
        low = nn.relu(nn.Conv(24, (3, 3))(nn.max_pool(high, (2, 2), strides=(2, 2))))
        up = nn.ConvTranspose(16, (2, 2), strides=(2, 2))(low)
        return nn.Conv(5, (1, 1))(nn.relu(nn.Conv(16, (3, 3))(jnp.concatenate([high, up], axis=-1))))


NNX: dict[str, tuple[Callable[[nnx.Rngs], nnx.Module], bool]] = {
    "nnx CNN": (Convolutions, True),
    "nnx blocks": (Blocks, False),
    "nnx scanned blocks": (ScannedBlocks, False),
    "nnx vision transformer": (Transformer, False),
    "nnx ResNet": (ResNet, True),
    "nnx autoencoder": (Autoencoder, False),
}
LINEN: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "linen CNN": (LinenConvolutions, True),
    "linen ResNet": (LinenResNet, False),
    "linen mixer": (Mixer, False),
    "linen vision transformer": (LinenTransformer, False),
    "linen variational autoencoder": (LinenVariational, False),
    "linen scanned layers": (LinenScanned, False),
    "linen U-Net": (LinenUNet, False),
}


def architectures() -> Iterator[Architecture]:
    """Yield all, nnx first."""
    for name, (kind, quick) in NNX.items():
        yield Architecture("jax", "nnx", name, functools.partial(_nnx, kind), SIDE, {}, quick)
    for name, (made, quick) in LINEN.items():
        wrapping = {"output": 1} if "variational" in name else {}
        yield Architecture("jax", "linen", name, functools.partial(_linen, made), SIDE, wrapping, quick)


def _nnx(kind: Callable[[nnx.Rngs], nnx.Module]) -> Any:
    model = kind(nnx.Rngs(0))
    model.eval()
    return model


def _linen(kind: Callable[[], nn.Module]) -> Any:
    module = kind()
    return module, module.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)))
