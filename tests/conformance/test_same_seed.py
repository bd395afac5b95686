"""One seed is one run, to the last bit; another seed is another run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network
from phosphene.data.crops import Crops


def rendered(preset: str, steps: int) -> Callable[[Network, int], ph.Renders]:
    def run(network: Network, seed: int) -> ph.Renders:
        # Units of two kinds, one of them in slots that refill: neither order nor company may leave a trace.
        targets = [*(ph.channel("stage1", index) for index in range(3)), ph.neuron("stage2", 7), ph.logit("coins")]
        options: dict[str, Any] = {"size": 32, "steps": steps, "slots": 2, "snapshots": 2, "progress": False}
        return ph.render(network, targets, preset=preset, seed=seed, **options)

    return run


def dreamt(network: Network, seed: int) -> ph.Renders:
    photograph = Crops(3, seed=4, size=48).images()[1]
    return ph.dream(network, photograph, ph.objectives.layer("stage1"), octaves=2, steps=3, seed=seed, progress=False)


RUNS = {"default": rendered("default", 6), "maco": rendered("maco", 3), "dream": dreamt}


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        pytest.param(backend, name, marks=pytest.mark.slow if backend == "jax" and name != "dream" else ())
        for backend in ("torch", "jax")
        for name in RUNS
    ],
    indirect=["backend"],
)
def test_one_seed_gives_the_same_bits_and_another_seed_other_pictures(name: str, specimen: Network) -> None:
    first, again, other = (RUNS[name](specimen, seed) for seed in (1, 1, 2))
    for part in ("images", "values", "history", "parameters", "snapshots", "opacity", "steps", "awake_at"):
        left, right = getattr(first, part), getattr(again, part)
        assert (left is None) == (right is None), part
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=part)
    assert (first.labels, first.status, first.settings) == (again.labels, again.status, again.settings)
    # A dream begins with the photograph: its draws are jitters alone.
    assert (np.abs(first.images - other.images).reshape(len(first), -1).max(axis=1) > 0.01).all()
    assert not np.array_equal(first.values, other.values) and not np.array_equal(first.history, other.history)
