"""What excites a unit is known: gradient ascent finds it, on every backend, from almost every seed."""

from __future__ import annotations

import numpy as np
import pytest

import phosphene as ph
from planted_units import CANVAS, correlation, patterns, planted


def recovered(backend: str, seeds: range, steps: int) -> np.ndarray:
    """Correlations ``(seeds, patterns)``: the default recipe but for turning and scaling, to which these units are not used."""
    network, wanted = planted(backend), patterns()
    units = [ph.neuron("unit", index) for index in range(len(wanted))]
    found = []
    for seed in seeds:
        pictures = ph.render(
            network,
            units,
            size=CANVAS,
            steps=steps,
            seed=seed,
            transforms=[ph.transforms.jitter(CANVAS // 16)],
            progress=False,
        ).images
        found.append([correlation(image, pattern) for image, pattern in zip(pictures, wanted.values(), strict=True)])
    return np.asarray(found)


def test_planted_patterns_are_recovered(costly_backend: str) -> None:
    found = recovered(costly_backend, range(1), 112)
    assert (found >= 0.9).all(), found


@pytest.mark.slow
def test_planted_patterns_are_recovered_from_almost_every_seed(backend: str) -> None:
    found = recovered(backend, range(20), 168)
    assert ((found >= 0.9).sum(axis=0) >= 19).all(), dict(zip(patterns(), found.T.round(3).tolist(), strict=True))
