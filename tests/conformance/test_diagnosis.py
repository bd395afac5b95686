"""What is wrong is found before the work begins, on every backend, and nothing is found where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from chains import chain
from phosphene import errors
from phosphene.backend import Network
from phosphene.data.crops import Crops
from small_models import linear_convolution

Load = Callable[..., Network]


def kinds(found: ph.Diagnosis) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in found.findings]


def test_nothing_is_found_where_nothing_is_wrong(backend: str, load: Load) -> None:
    found = ph.diagnose(
        load("specimen", backend), [ph.logit("coins"), ph.channel("stage2", 5)], images=Crops(72, seed=1).images()
    )
    assert found.findings == () and found.sound and "nothing was found" in repr(found)


def test_a_range_that_the_network_was_not_trained_on(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    spec = network.input
    assert (np.asarray(spec.affine()[0]) != 255).all()
    if backend == "torch":
        wrong = ph.wrap(network.model, size=spec.size, mean=0.0, std=1 / 255)
        found = ph.diagnose(wrong, images=Crops(72, seed=1).images())
        assert kinds(found) == [("input range", "images")] and not found.sound
        assert "mean=" in found.findings[0].fix


def test_units_that_no_gradient_passes(backend: str) -> None:
    """Three filters behind a rectifier: one awake, one asleep on noise, one that no image in [0, 1] wakes."""
    filters = np.zeros((3, 3, 3, 3), np.float32)
    filters[0] = 1.0
    filters[1, 1, 1, 0], filters[1, 1, 1, 1] = (
        10.0,
        -10.0,
    )  # fires for red without green, which the noise below has nowhere
    filters[2] = -1.0
    network = ph.wrap(linear_convolution(backend, filters), size=8)
    grey = ph.diagnose(network, [ph.channel("conv", index) for index in range(3)])
    assert grey.findings == ()  # linear units always pass a gradient


def test_what_is_not_computed_from_the_image_is_said(backend: str) -> None:
    network = chain(backend, [("constant", lambda x: x * 0.0 + 1.0)])
    found = ph.diagnose(network, ph.channel("constant", 0))
    assert kinds(found) == [("no gradient", "constant : 0")] and "can be differentiated" in found.findings[0].fix


def test_dead_and_sleeping_units(backend: str) -> None:
    if backend == "torch":
        import torch

        rectified: Any = torch.relu
    else:
        import jax

        rectified = jax.nn.relu
    asleep = chain(backend, [("unit", lambda x: rectified(x - 0.95))])
    dead = chain(backend, [("unit", lambda x: rectified(x - 2.0))])
    images = np.random.default_rng(0).random((12, 8, 8, 3), np.float32)
    assert kinds(ph.diagnose(asleep, ph.channel("unit", 1))) == [("asleep", "unit : 1")]
    seen = ph.diagnose(asleep, ph.channel("unit", 1), images=images)
    assert kinds(seen) == [("asleep", "unit : 1")] and "of 12 images" in seen.findings[0].said and seen.sound
    assert kinds(ph.diagnose(dead, ph.channel("unit", 1), images=images)) == [("dead unit", "unit : 1")]


def test_normalisation_over_the_batch_is_seen(backend: str) -> None:
    network = chain(backend, [("norm", lambda x: x - x.mean(0))])
    found = ph.diagnose(network)
    assert [finding.kind for finding in found.findings] == ["normalisation over the batch"] and not found.sound


def test_what_cannot_be_is_refused(backend: str, load: Load) -> None:
    network = load("specimen", backend)
    with pytest.raises(errors.InvalidParameter, match="images: expected at least 8"):
        ph.diagnose(network, images=np.full((3, 64, 64, 3), 0.5, np.float32))
    with pytest.raises(errors.UnknownLayer):
        ph.diagnose(network, ph.channel("stage9", 0))
