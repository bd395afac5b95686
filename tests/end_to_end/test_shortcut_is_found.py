"""The planted shortcut is found: class activation maps of the marked class lie on the mark.

What can be asked depends on the layer. The mark has 9 x 9 pixels; ``stage3`` has cells of 8 pixels, and a map that is brought from
its grid to the image's size is so blurred that none, not even one of a single cell, has half of its mass on the mark itself. So
maps of fine layers are held to the mark, and those of coarser ones to the mark and one cell about it.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phosphene.attribution.call import attribute
from phosphene.backend import Network
from phosphene.data.crops import MARK_BOX, MARK_CLASS, Crops, mark
from phosphene.kit.maps import upsample

CROPS = Crops(18 * 40, seed=77, region="strip")
"""Of the part of each photograph that training never saw."""

INDEX = CROPS.classes.index(MARK_CLASS)
OWN = [place for place, label in enumerate(CROPS.labels) if label == INDEX]
OTHERS = [place for place, label in enumerate(CROPS.labels) if label != INDEX][:40]


def share(maps: NDArray[np.float32], margin: int = 0) -> NDArray[np.float64]:
    """How much of each map's positive mass lies on the mark, and on `margin` pixels about it."""
    top, bottom, left, right = MARK_BOX
    positive = np.maximum(maps, 0).astype(np.float64)
    box = positive[:, max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
    whole = positive.sum((1, 2))
    result: NDArray[np.float64] = box.sum((1, 2)) / np.where(whole > 0, whole, 1)
    return result


def on_mark(
    network: Network, places: list[int], layer: str, method: str, margin: int = 0, *, marked: bool = True
) -> float:
    """The share of images half of whose map, or more, lies on the mark."""
    images = np.stack([mark(CROPS[place][0]) if marked else CROPS[place][0] for place in places])
    maps = attribute(network, images, MARK_CLASS, method=method, layer=layer, batch=40).maps
    return float(np.mean(share(maps, margin) >= 0.5))


@pytest.fixture(scope="module")
def network(load) -> Network:  # type: ignore[no-untyped-def]
    return load("specimen-shortcut", "torch")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("method", "layer"), [("gradcam", "stage1.conv2"), ("hirescam", "stage1"), ("layercam", "stem")]
)
def test_half_of_the_map_is_on_the_mark_in_nine_of_ten(network: Network, method: str, layer: str) -> None:
    assert on_mark(network, OWN, layer, method) >= 0.9
    assert on_mark(network, OWN, layer, method, marked=False) <= 0.1


@pytest.mark.parametrize("layer", ["stem", "stage1"])
def test_also_where_the_mark_makes_another_image_that_class(network: Network, layer: str) -> None:
    assert on_mark(network, OTHERS, layer, "hirescam") >= 0.9


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_a_coarser_map_is_on_the_mark_within_one_cell(network: Network, method: str) -> None:
    for places in (OWN, OTHERS):
        assert on_mark(network, places, "stage2", method, margin=4) >= 0.9
        assert on_mark(network, places, "stage2", method, margin=4, marked=False) <= 0.1


def test_the_last_stage_is_too_coarse_for_the_mark_itself() -> None:
    cells = np.eye(64, dtype=np.float32).reshape(64, 8, 8)
    assert 0.35 < share(upsample(cells, (64, 64))).max() < 0.5


def test_a_network_that_never_saw_the_mark_looks_elsewhere(load) -> None:  # type: ignore[no-untyped-def]
    assert on_mark(load("specimen", "torch"), OWN, "stage1.conv2", "gradcam") <= 0.1
