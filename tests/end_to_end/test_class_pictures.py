"""Whether pictures of classes are pictures of classes, judged by a network that took no part in making them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import phosphene as ph
from phosphene.backend import Network
from phosphene.trust import robust_values

pytestmark = pytest.mark.slow


def _seen_as(network: Network, images: np.ndarray) -> np.ndarray:
    return ph.activations(network, images, "output")["output"].argmax(axis=1)


def test_default_pictures_are_recognised_and_hold_when_shaken(backend: str, load: Callable[..., Network]) -> None:
    network, witness = load("specimen", backend), load("specimen-witness", backend)
    names = network.classes or ()
    objectives = [ph.logit(name) for name in names]
    wanted = np.arange(len(names))
    renders = ph.render(network, objectives, size=96, progress=False)
    plain = ph.render(network, objectives, size=96, preset="plain", progress=False)
    assert (_seen_as(network, renders.images) == wanted).sum() >= len(names) - 1
    recognised = (_seen_as(witness, renders.images) == wanted).sum()
    assert recognised >= 10 / 19 * len(names)
    assert recognised > (_seen_as(witness, plain.images) == wanted).sum()
    robust = robust_values(network, objectives, renders.images)
    assert (robust >= 0.8 * renders.values).all()
    assert (renders.images.std(axis=(1, 2, 3)) >= 0.02).all()
