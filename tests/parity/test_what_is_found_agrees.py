"""What the two frameworks find out about the same model agrees: layers, shapes, channel and batch axes, draws and mixing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
pytest.importorskip("flax")

import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402
from torch import nn  # noqa: E402

import phosphene as ph  # noqa: E402

IMAGES = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
TOKENS, WIDTH, HIDDEN = 16, 24, 40


class TorchMixing(nn.Module):
    def __init__(self, axis: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(axis, hidden), nn.Linear(hidden, axis)

    def forward(self, x: Any) -> Any:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class TorchMixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, WIDTH, 2, 2), nn.LayerNorm(WIDTH)
        self.tokens, self.channels = TorchMixing(TOKENS, HIDDEN), TorchMixing(WIDTH, HIDDEN)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Any) -> Any:
        x = self.norm(self.patch(x).flatten(2).transpose(1, 2))
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(x)).mean(1))


class JaxMixing(nnx.Module):
    def __init__(self, axis: int, hidden: int) -> None:
        self.fc1, self.fc2 = (nnx.Linear(*sides, rngs=nnx.Rngs(0)) for sides in ((axis, hidden), (hidden, axis)))

    def __call__(self, x: Any) -> Any:
        return self.fc2(nnx.gelu(self.fc1(x)))


class JaxMixer(nnx.Module):
    def __init__(self) -> None:
        self.patch = nnx.Conv(3, WIDTH, (2, 2), strides=2, rngs=nnx.Rngs(0))
        self.norm = nnx.LayerNorm(WIDTH, rngs=nnx.Rngs(0))
        self.tokens, self.channels = JaxMixing(TOKENS, HIDDEN), JaxMixing(WIDTH, HIDDEN)
        self.head = nnx.Linear(WIDTH, 5, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        x = self.norm(self.patch(x).reshape(x.shape[0], TOKENS, WIDTH))
        x = x + self.tokens(x.swapaxes(1, 2)).swapaxes(1, 2)
        return self.head((x + self.channels(x)).mean(1))


def test_a_mixer_of_tokens_has_the_same_layers_and_channels() -> None:
    ours, theirs = ph.wrap(TorchMixer().eval(), size=8), ph.wrap(JaxMixer(), size=8)
    found = [
        {path: (layer.shape, str(layer.tokens)) for path, layer in network.layers.items()} for network in (ours, theirs)
    ]
    assert found[0] == found[1]
    # The channels of a layer that mixes tokens are those of the tokens.
    assert [found[0][path][0] for path in ("tokens.fc1", "channels.fc1")] == [(HIDDEN, WIDTH), (TOKENS, HIDDEN)]


class TorchFork(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3)), {"sum": x.sum((1, 2, 3)), "high": x * 2}


class TorchForked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fork = TorchFork()

    def forward(self, x: Any) -> Any:
        mean, rest = self.fork(x)
        return {"logits": mean, "aux": rest["high"].mean((2, 3))}


class JaxFork(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return x.mean((1, 2)), {"sum": x.sum((1, 2, 3)), "high": x * 2}


class JaxForked(nnx.Module):
    def __init__(self) -> None:
        self.fork = JaxFork()

    def __call__(self, x: Any) -> Any:
        mean, rest = self.fork(x)
        return {"logits": mean, "aux": rest["high"].mean((1, 2))}


def test_several_outputs_have_the_same_paths_shapes_and_values() -> None:
    ours, theirs = ph.wrap(TorchForked().eval(), size=8), ph.wrap(JaxForked(), size=8)
    shapes = [{path: layer.shape for path, layer in network.layers.items()} for network in (ours, theirs)]
    assert shapes[0] == shapes[1]
    paths = ["fork", 'fork[1]["sum"]', 'fork[1]["high"]', 'output["aux"]', "output"]
    assert set(paths) == set(shapes[0])
    ours_read, theirs_read = (ph.activations(network, IMAGES, paths) for network in (ours, theirs))
    for path in paths:
        np.testing.assert_allclose(ours_read[path], theirs_read[path], rtol=1e-5, err_msg=path)


class TorchNoise(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.conv, self.mode = nn.Conv2d(3, 4, 3), mode

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        if self.mode == "random":
            x = nn.functional.dropout(x, 0.5)
        return (x - x.mean(0, keepdim=True) if self.mode == "mixing" else x).mean((2, 3))


class JaxNoise(nnx.Module):
    def __init__(self, mode: str) -> None:
        self.conv, self.mode = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)), mode
        self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        x = self.conv(x)
        if self.mode == "random":
            x = self.drop(x, deterministic=False)
        return (x - x.mean(0, keepdims=True) if self.mode == "mixing" else x).mean((1, 2))


@pytest.mark.filterwarnings("ignore::phosphene.errors.ModelWarning")
@pytest.mark.parametrize("mode", ["plain", "random", "mixing"])
def test_draws_and_mixing_are_found_alike(mode: str) -> None:
    for network in (ph.wrap(TorchNoise(mode).eval(), size=8), ph.wrap(JaxNoise(mode), size=8)):
        found = network.findings
        assert (found.random, found.mixes_images) == (mode == "random", mode == "mixing"), network.backend.name


class TorchScan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(3, 6)

    def forward(self, x: Any) -> Any:
        return self.into(x.flatten(2).permute(2, 0, 1)).mean(0)


class JaxScan(nnx.Module):
    def __init__(self) -> None:
        self.into = nnx.Linear(3, 6, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.into(x.reshape(x.shape[0], -1, 3).swapaxes(0, 1)).mean(0)


def test_images_along_the_second_axis_are_read_alike() -> None:
    for network in (ph.wrap(TorchScan().eval(), size=8), ph.wrap(JaxScan(), size=8)):
        layer = network.layers["into"]
        assert (layer.shape, layer.batch_axis) == ((64, 6), 1), network.backend.name
        alone, both = (ph.activations(network, IMAGES[:n], "into")["into"] for n in (1, 2))
        np.testing.assert_allclose(alone[0], both[0], rtol=1e-5)
        assert jnp.shape(both) == (2, 64, 6)
