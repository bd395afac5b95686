"""Layers with positions on one and on three axes: maps, statistics, embeddings and receptive fields, on both frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import BACKENDS, chosen
from phosphene.backend import Network
from phosphene.receptive_field import extent, receptive_field, receptive_fields

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.random((12, 20, 28, 6), np.float32)
SIGNALS = RANDOM.random((12, 1, 90, 2), np.float32)


def volume(backend: str) -> Network:
    """Six frames, given as channels, through two convolutions over time, rows and columns; the second one has no padding."""
    return ph.wrap(chosen({"torch": _torch_volume, "jax": _jax_volume}, backend)(), size=(20, 28), channels=6)


def signal(backend: str) -> Network:
    """A signal of two channels, given as an image of one row, through two convolutions along it."""
    return ph.wrap(chosen({"torch": _torch_signal, "jax": _jax_signal}, backend)(), size=(1, 90), channels=2)


@pytest.fixture(params=["torch", "jax"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(BACKENDS[request.param])
    return str(request.param)


def test_a_volume_has_maps_statistics_and_an_embedding(framework: str, tmp_path: Path) -> None:
    network = volume(framework)
    assert network.layers["second"].axes == ("depth", "row", "column", "channel")
    read = ph.activations(network, FRAMES, "second")["second"]
    maps = ph.feature_maps(network, FRAMES[:2], "second", channels=[1, 4])
    np.testing.assert_array_equal(maps.maps, np.moveaxis(read[:2][..., [1, 4]], -1, 1))
    assert repr(maps).endswith("2 maps of 5 x 9 x 13 each")
    assert ph.FeatureMaps.load(maps.save(tmp_path / "m.npz")).maps.shape == maps.maps.shape
    # All slices of a channel are in one panel, with gaps between them.
    panel = maps.plot().axes[1].images[0].get_array()
    np.testing.assert_allclose(np.sort(panel.compressed()), np.sort(maps.maps[0, 0].ravel()), rtol=1e-6)
    found = ph.units(network, FRAMES, "second", top=3, progress=False)
    np.testing.assert_allclose(found.mean, read.reshape(-1, read.shape[-1]).mean(0), rtol=1e-3, atol=1e-6)
    # Two steps of 3 x 3 pixels, the first of stride 2: a position sees 7 x 7 pixels of all frames that it reaches.
    assert found.patches.shape == (5, 3, 7, 7, 6) and found.settings["receptive field"] == [7, 7]
    for channel in range(5):
        image = found.top[channel, 0]
        _, row, column = np.unravel_index(read[image, :, 1:8, 1:12, channel].argmax(), (5, 7, 11))
        top, left = 2 * (row + 1) - 1, 2 * (column + 1) - 1
        np.testing.assert_array_equal(found.patches[channel, 0], FRAMES[image, top : top + 7, left : left + 7])
    assert found.save(tmp_path / "u.png").exists() and found.save(tmp_path / "u.html").exists()
    assert ph.embed(network, FRAMES, "second").points.shape == (12, 2)


def test_a_signal_has_maps_statistics_and_an_embedding(framework: str, tmp_path: Path) -> None:
    network = signal(framework)
    read = ph.activations(network, SIGNALS, "second")["second"]
    assert ph.feature_maps(network, SIGNALS[:2], "second").maps.shape == (2, 5, 42)
    found = ph.units(network, SIGNALS, "second", top=2, progress=False)
    assert found.patches.shape == (5, 2, 1, 11, 2)
    for channel in range(5):
        image = found.top[channel, 0]
        place = int(read[image, 1:41, channel].argmax()) + 1
        np.testing.assert_array_equal(found.patches[channel, 0], SIGNALS[image, :, 2 * place - 1 : 2 * place + 10])
    assert found.save(tmp_path / "u.png").exists() and found.save(tmp_path / "u.html").exists()
    assert ph.embed(network, SIGNALS, "second").points.shape == (12, 2)


def test_receptive_fields_on_any_number_of_axes(framework: str) -> None:
    network = volume(framework)
    assert [receptive_field(network, layer) for layer in ("first", "second")] == [(3, 3), (7, 7)]
    assert extent(network, "second", (20, 28)) == ((7, 14), (11, 18))
    fields = receptive_fields(network, "second", (20, 28))
    assert fields.corner((0, 0, 0)) == (-1, -1) and fields.corner((3, 8, 12)) == (15, 23) and not fields.whole
    assert fields.within((5, 9, 13)).sum() == 5 * 7 * 11
    line = receptive_fields(signal(framework), "second", (1, 90))
    assert line.size == (1, 11) and line.corner((0,)) == (0, -1) and line.corner((41,)) == (0, 81)


def _torch_volume() -> Any:
    import torch
    from torch import nn

    class Volume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv3d(1, 4, 3, padding=1, stride=(1, 2, 2))
            self.second = nn.Conv3d(4, 5, (2, 3, 3))
            self.head = nn.Linear(5, 3)

        def forward(self, x: Any) -> Any:
            x = nn.functional.pad(x, (0, 2, 0, 2))
            return self.head(self.second(self.first(x[:, None])).mean((2, 3, 4)))

    torch.manual_seed(0)
    return Volume().eval()


def _jax_volume() -> Any:
    from flax import nnx

    class Volume(nnx.Module):
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.first = nnx.Conv(1, 4, (3, 3, 3), strides=(1, 2, 2), padding=[(1, 1)] * 3, rngs=rngs)
            self.second = nnx.Conv(4, 5, (2, 3, 3), padding="VALID", rngs=rngs)
            self.head = nnx.Linear(5, 3, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            import jax.numpy as jnp

            x = jnp.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))
            x = self.second(self.first(x.transpose(0, 3, 1, 2)[..., None]))
            return self.head(x.mean((1, 2, 3)))

    return Volume()


def _torch_signal() -> Any:
    import torch
    from torch import nn

    class Signal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv1d(2, 4, 3, padding=1, stride=2)
            self.second = nn.Conv1d(4, 5, 5)
            self.head = nn.Linear(5, 3)

        def forward(self, x: Any) -> Any:
            x = nn.functional.pad(x[:, :, 0], (0, 2))
            return self.head(self.second(self.first(x)).mean(2))

    torch.manual_seed(0)
    return Signal().eval()


def _jax_signal() -> Any:
    from flax import nnx

    class Signal(nnx.Module):
        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.first = nnx.Conv(2, 4, (3,), strides=(2,), padding=[(1, 1)], rngs=rngs)
            self.second = nnx.Conv(4, 5, (5,), padding="VALID", rngs=rngs)
            self.head = nnx.Linear(5, 3, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            import jax.numpy as jnp

            x = self.second(self.first(jnp.pad(x[:, 0], ((0, 0), (0, 2), (0, 0)))))
            return self.head(x.mean(1))

    return Signal()
