"""Images as models take them: one to twelve channels, bytes, sides of two lengths, channels that stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import BACKENDS, chosen
from phosphene.errors import InvalidParameter

SIZE = (12, 20)


def model_of(backend: str, channels: int) -> Any:
    """One convolution, a rectifier and an average; with weights that do not depend on the backend."""
    random = np.random.default_rng(channels)
    kernel = random.standard_normal((6, channels, 3, 3)).astype(np.float32)
    makers = {"torch": _module, "jax": _function, "numpy-reference": _generator}
    return chosen(makers, backend)(kernel.transpose(2, 3, 1, 0))


def _module(kernel: Any) -> Any:
    import torch
    from torch import nn

    conv = nn.Conv2d(kernel.shape[2], 6, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def _function(kernel: Any) -> Any:
    import jax
    from jax.ad_checkpoint import checkpoint_name

    def function(images: Any) -> Any:
        x = jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(checkpoint_name(x, "0")).mean((1, 2))  # type: ignore[no-untyped-call]

    return function


def _generator(kernel: Any) -> Any:
    from reference_backend import Model, convolution, relu

    def function(weights: Any, images: Any) -> Any:
        x = yield "0", convolution(images, weights["0.kernel"], pad=1)
        return relu(x).mean((1, 2))

    return Model(function, {"0.kernel": kernel})


@pytest.mark.parametrize(
    ("backend", "channels"),
    [
        pytest.param(backend, channels, marks=pytest.mark.slow if backend == "jax" and channels in (2, 4, 12) else ())
        for backend in BACKENDS
        for channels in (1, 2, 4, 7, 12)
    ],
    indirect=["backend"],
)
def test_any_number_of_channels_and_sides_of_two_lengths(backend: str, channels: int, tmp_path: Path) -> None:
    network = ph.wrap(model_of(backend, channels), size=SIZE, channels=channels)
    images = np.random.default_rng(0).random((2, *SIZE, channels)).astype(np.float32)
    assert ph.activations(network, images, "0")["0"].shape == (2, *SIZE, 6)
    pictures = ph.render(network, [ph.channel("0", 2), ph.logit(1)], steps=12, progress=False)
    assert pictures.images.shape == (2, *SIZE, channels)
    grey = ph.activations(network, np.full((1, *SIZE, channels), 0.5, np.float32), ["0", "output"])
    assert pictures.values[0] > grey["0"][0, ..., 2].mean()
    assert pictures.values[1] > grey["output"][0, 1]
    rebuilt = ph.invert(network, images[:1], "0", steps=12, progress=False)
    assert rebuilt.images.shape == (1, *SIZE, channels)
    saved = pictures.save(tmp_path / "pictures.png")
    np.testing.assert_allclose(ph.Renders.load(saved).images, pictures.images, atol=0.5 / 255 + 1e-6)


def test_values_have_the_range_that_the_model_takes(backend: str) -> None:
    images = np.random.default_rng(0).random((2, *SIZE, 3)).astype(np.float32)
    plain = ph.wrap(model_of(backend, 3), size=SIZE)
    centred = ph.wrap(model_of(backend, 3), size=SIZE, range=(-127.5, 127.5), std=(127.5, 63.75, 127.5))
    # The model is linear up to that layer, so a tenth of the way from grey gives a tenth of the difference.
    seen = (images - 0.5) * np.float32([2, 4, 2])
    near, grey = (ph.activations(plain, 0.5 + step * seen, "0")["0"] for step in (0.1, 0.0))
    np.testing.assert_allclose(0.1 * ph.activations(centred, images, "0")["0"], near - grey, rtol=1e-3, atol=1e-5)


def test_frozen_channels_stay_mid_grey(backend: str) -> None:
    network = ph.wrap(model_of(backend, 5), size=SIZE, channels=5, frozen=(1, 4))
    image = np.random.default_rng(0).random((1, *SIZE, 5)).astype(np.float32)
    for made in (
        ph.render(network, ph.channel("0", 2), steps=8, progress=False),
        ph.render(network, ph.channel("0", 2), steps=8, parameterization=ph.parameterizations.pixel(), progress=False),
        ph.invert(network, image, "0", steps=8, progress=False),
    ):
        assert np.all(made.images[..., [1, 4]] == 0.5)
        assert made.images[..., [0, 2, 3]].std() > 0.01


def test_a_frozen_channel_that_is_not_there(backend: str) -> None:
    with pytest.raises(InvalidParameter, match="frozen: expected channels 0 to 2"):
        ph.wrap(model_of(backend, 3), size=SIZE, frozen=(3,))
