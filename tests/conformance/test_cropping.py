"""Objectives at one position: the window around the receptive field is the whole, or the whole is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import chosen
from phosphene.backend import Network
from phosphene.rendering.receptive_windows import Window, windows

SIZE = (40, 56)


def render(network: Network, objectives: Any, *, crop: bool, steps: int = 6, **recipe: Any) -> ph.Renders:
    return ph.render(network, objectives, size=SIZE, steps=steps, crop=crop, progress=False, **recipe)


RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "none": {"transforms": []},
    "lucid": {"preset": "lucid"},
    "plain": {"preset": "plain"},
    "jitter": {"transforms": [ph.transforms.jitter(3)]},
    "noise first": {"transforms": [ph.transforms.noise(0.1), ph.transforms.scale(0.9, 1.1)]},
}
QUICK = {("torch", "default"), ("torch", "none")}


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        pytest.param(backend, name, marks=() if (backend, name) in QUICK else pytest.mark.slow)
        for backend in ("torch", "jax")
        for name in RECIPES
    ],
    indirect=["backend"],
)
def test_pictures_are_those_of_the_whole(backend: str, name: str, load: Callable[..., Network]) -> None:
    recipe = RECIPES[name]
    network = load("specimen", backend, "float64")
    vector = np.random.default_rng(0).standard_normal(64)
    # Channels 3 and 5 are dead on the first image: how they are woken must not depend on the window either.
    wanted = [ph.neuron("stage1", channel) for channel in (3, 5)] + [ph.direction("stage2", vector, at="centre")]
    if recipe.get("preset") != "lucid":  # whose pad moves positions that are named
        wanted += [ph.neuron("stage1", 2, at=place) for place in ((0, 0), (1, 26), (19, 13))]
    part, whole = (render(network, wanted, crop=crop, **recipe) for crop in (True, False))
    seen = part.settings["seen"]
    assert whole.settings["seen"] != seen
    assert all(height * width < 0.7 * SIZE[0] * SIZE[1] for height, width in seen)
    np.testing.assert_allclose(part.images, whole.images, atol=1e-6)
    np.testing.assert_allclose(part.values, whole.values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(part.history, whole.history, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(part.awake_at, whole.awake_at)


def test_what_is_resampled_and_then_changed_is_computed_whole(specimen: Network) -> None:
    recipe = {"transforms": [ph.transforms.jitter(3), ph.transforms.noise(0.1)]}
    assert render(specimen, ph.neuron("stage1", 3), crop=True, steps=1, **recipe).settings["seen"] == [list(SIZE)]


def test_a_target_that_needs_the_whole_does_not_hold_up_the_others(costly_specimen: Network) -> None:
    wanted = [ph.neuron("stage1", 3), ph.channel("stage1", 3), ph.neuron("stage3", 3), ph.logit(0)]
    renders = render(costly_specimen, wanted, crop=True, steps=2)
    sizes = {
        index: size
        for rows, size in zip(*(renders.settings[k] for k in ("batches", "seen")), strict=True)
        for index in rows
    }
    assert sizes[0][0] <= 12
    assert sizes[1] == sizes[3] == list(SIZE)
    assert renders.labels[0] == "stage1 : 3 at centre"


def test_the_field_of_a_stack_of_convolutions_is_the_known_one(backend: str) -> None:
    """Three 3 x 3 convolutions, the second of stride 2: the field is 9 pixels, in strides of 2."""
    network = ph.wrap(stack(backend), size=SIZE)
    (found,) = windows(network, "last", [(10, 14)], SIZE)
    assert found is not None
    rows, columns = found.origin[0], found.origin[1]
    assert rows % 2 == columns % 2 == 0
    # Position 10 sees pixels 20 - 4 to 20 + 4, and the window is aligned outwards.
    assert rows <= 16
    assert rows + found.size[0] >= 25
    assert found.size[0] <= 12
    assert found.position == ((20 - rows) // 2, (28 - columns) // 2)


@pytest.mark.parametrize("mixing", ["pooled", "coordinates", "upsampled"])
def test_what_only_looks_local_is_computed_whole_or_right(backend: str, mixing: str) -> None:
    """Pooling to a fixed grid and coordinates depend on the size of the image; enlarging does not, if it is aligned."""
    network = ph.wrap(stack(backend, mixing), size=SIZE)
    shape = network.layers["last"].shape
    place = (shape[0] // 2, shape[1] // 2)
    found = windows(network, "last", [place], SIZE)
    if mixing != "upsampled":
        assert found == [None]
    part, whole = (
        render(network, ph.neuron("last", 1, at=place), crop=crop, transforms=[], steps=4) for crop in (True, False)
    )
    np.testing.assert_allclose(part.values, whole.values, rtol=1e-4)


def test_a_network_of_one_size_is_computed_whole() -> None:
    torch = pytest.importorskip("torch")

    class Fixed(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.position = torch.nn.Parameter(torch.randn(1, 3, *SIZE))

        def forward(self, images: Any) -> Any:
            return self.conv(images + self.position)

    network = ph.wrap(Fixed().eval(), size=SIZE)
    assert windows(network, "conv", [(20, 20)], SIZE) == [None]


def test_all_windows_of_a_layer_are_of_one_size(specimen: Network) -> None:
    found = windows(specimen, "stage1", [(0, 0), (19, 27), (10, 10), (0, 27)], SIZE)
    kept = [window for window in found if isinstance(window, Window)]
    assert len(kept) == 4
    assert len({window.size for window in kept}) == 1


def stack(backend: str, mixing: str = "") -> Any:
    """Three convolutions, the same on both backends; with something before the last that only looks local."""
    random = np.random.default_rng(0)
    kernels = [
        random.standard_normal(shape).astype(np.float32) / 5 for shape in ((3, 3, 3, 6), (3, 3, 6, 6), (3, 3, 6, 6))
    ]
    makers = {"torch": _modules, "jax": _function, "numpy-reference": _generator}
    return chosen(makers, backend)(kernels, mixing)


def _modules(kernels: list[Any], mixing: str) -> Any:
    import torch
    from torch import nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            convolutions = [
                nn.Conv2d(*kernel.shape[2:], 3, stride, padding=1, bias=False)
                for kernel, stride in zip(kernels, (1, 2, 1), strict=True)
            ]
            for module, kernel in zip(convolutions, kernels, strict=True):
                module.weight.data.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
            self.first, self.second, self.last = convolutions

        def forward(self, x: Any) -> Any:
            x = self.second(torch.relu(self.first(x)))
            if mixing == "pooled":
                x = nn.functional.adaptive_avg_pool2d(x, (10, 14))
            elif mixing == "coordinates":
                x = x + torch.linspace(0, 1, x.shape[-1])
            elif mixing == "upsampled":
                x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            return self.last(x).mean((2, 3)) if not mixing else self.last(x)

    return Stack().eval()


def _function(kernels: list[Any], mixing: str) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.ad_checkpoint import checkpoint_name

    def convolved(x: Any, kernel: Any, stride: int = 1) -> Any:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def function(x: Any) -> Any:
        x = convolved(jax.nn.relu(convolved(x, kernels[0])), kernels[1], 2)
        if mixing == "pooled":
            x = jnp.mean(jnp.reshape(x, (x.shape[0], 10, x.shape[1] // 10, 14, x.shape[2] // 14, 6)), axis=(2, 4))
        elif mixing == "coordinates":
            x = x + jnp.linspace(0, 1, x.shape[2])[:, None]
        elif mixing == "upsampled":
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = checkpoint_name(convolved(x, kernels[2]), "last")  # type: ignore[no-untyped-call]
        return jnp.mean(x, axis=(1, 2)) if not mixing else x

    return function


def _generator(kernels: list[Any], mixing: str) -> Any:
    import autograd.numpy as xp

    from reference_backend import Model, convolution, relu

    def function(weights: Any, x: Any) -> Any:
        x = relu(convolution(x, weights["first.kernel"], pad=1))
        x = convolution(x, weights["second.kernel"], stride=2, pad=1)
        if mixing == "pooled":
            x = xp.mean(xp.reshape(x, (x.shape[0], 10, x.shape[1] // 10, 14, x.shape[2] // 14, 6)), axis=(2, 4))
        elif mixing == "coordinates":
            x = x + xp.linspace(0, 1, x.shape[2])[:, None]
        elif mixing == "upsampled":
            x = xp.repeat(xp.repeat(x, 2, axis=1), 2, axis=2)
        x = yield "last", convolution(x, weights["last.kernel"], pad=1)
        return xp.mean(x, axis=(1, 2)) if not mixing else x

    names = ("first.kernel", "second.kernel", "last.kernel")
    return Model(function, dict(zip(names, kernels, strict=True)))
