"""Every method of attribution, on both frameworks, number by number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phosphene.attribution.call import attribute
from phosphene.attribution.methods import METHODS
from phosphene.attribution.result import Attribution
from phosphene.backend import Network
from phosphene.data import Crops

OPTIONS = {"smoothgrad": {"samples": 4}, "integrated_gradients": {"steps": 8}, "occlusion": {"window": 16}}


TARGETS = ["coins", "text", 3, "cat", "coffee", "flower"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree(load: Callable[..., Network], method: str) -> None:
    images = Crops(6, seed=4).images()
    torch, jax = _both(load, method, images, None)
    assert torch.raw.shape == jax.raw.shape
    assert np.abs(torch.raw - jax.raw).max() <= 1e-4 * np.abs(torch.raw).max()
    np.testing.assert_allclose(torch.values, jax.values, rtol=1e-4, atol=1e-4)
    assert torch.coverage == jax.coverage


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "gradcam"])
def test_in_float64_they_agree_also_at_a_kink(load: Callable[..., Network], method: str) -> None:
    # Of these crops two have a unit so near to zero that float32 puts it on on one framework and off on the other.
    torch, jax = _both(load, method, Crops(6, seed=3).images(), "float64")
    assert np.abs(torch.raw - jax.raw).max() <= 1e-10 * np.abs(torch.raw).max()


def _both(load: Callable[..., Network], method: str, images: np.ndarray, dtype: str | None) -> list[Attribution]:
    given = OPTIONS.get(method, {})
    networks = [load("specimen", name, dtype) for name in ("torch", "jax")]
    return [attribute(network, images, TARGETS, method=method, **given) for network in networks]
