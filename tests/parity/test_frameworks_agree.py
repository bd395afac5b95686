"""The same call on both frameworks: gradients, long float64 runs, and float32 runs as far as rounding lets them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network, native
from phosphene.data import Crops

Load = Callable[..., Network]


@pytest.fixture(autouse=True)
def _both(load: Load) -> None:
    load("specimen", "torch"), load("specimen", "jax")


def _gradient(network: Network, images: np.ndarray, layer: str) -> np.ndarray:
    xp = network.backend.xp
    with network.scope():
        weights = network.weights()

        def objective(x):  # type: ignore[no-untyped-def]
            activation = network.forward(x, [layer], weights=weights)[layer]
            return xp.sum(activation * activation), ()

        return network.backend.to_numpy(network.backend.grad(objective)(native(network, images))[0])


@pytest.mark.parametrize("layer", ["stem", "stage1.conv2", "stage2", "stage3", "output"])
def test_step_one_input_gradients_agree(load: Load, layer: str) -> None:
    images = Crops(8, seed=4).images()
    torch, jax = (_gradient(load("specimen", name), images, layer) for name in ("torch", "jax"))
    assert np.abs(torch - jax).max() <= 1e-5 * np.abs(torch).max()


def test_sixty_four_float64_steps_of_the_default_recipe_end_together(load: Load) -> None:
    targets = [ph.logit("coins"), ph.channel("stage2", 7), ph.neuron("stage1", 3)]
    torch, jax = (
        ph.render(load("specimen", name, "float64"), targets, size=64, steps=64, progress=False)
        for name in ("torch", "jax")
    )
    assert np.abs(torch.images - jax.images).max() <= 1e-6
    np.testing.assert_allclose(torch.history, jax.history, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_hundred_and_twenty_eight_float32_steps_over_thirty_two_targets(load: Load) -> None:
    targets = [ph.channel(layer, index) for layer in ("stage2", "stage3") for index in range(0, 64, 4)]
    torch, jax = (
        ph.render(load("specimen", name), targets, size=64, steps=128, slots=16, progress=False)
        for name in ("torch", "jax")
    )
    difference = np.abs(torch.values - jax.values) / np.maximum(np.abs(torch.values), 1e-9)
    live = (torch.values > 0) & (jax.values > 0)
    assert live.sum() >= 30
    assert np.median(difference[live]) <= 0.03, np.median(difference[live])
    assert difference[live].max() <= 0.15, difference[live].max()


def test_inversion_agrees_in_float64(load: Load) -> None:
    image = Crops(4, seed=9).images(0, 1)
    torch, jax = (
        ph.invert(load("specimen", name, "float64"), image, "stage2", steps=32, progress=False)
        for name in ("torch", "jax")
    )
    assert np.abs(torch.images - jax.images).max() <= 1e-6
    np.testing.assert_allclose(torch.scores["cosine"], jax.scores["cosine"], rtol=1e-6)


def test_draws_do_not_know_the_framework(load: Load) -> None:
    firsts = [
        ph.render(
            load("specimen", name),
            ph.channel("stage1", 2),
            size=32,
            steps=1,
            optimizer=ph.optimizers.sgd(1e-12),
            progress=False,
        ).images
        for name in ("torch", "jax")
    ]
    assert np.abs(firsts[0] - firsts[1]).max() <= 1e-6
