"""Which layer is which: by the user's word, by path, by alignment; and what is said of those that are left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chains import IMAGES, STEPS, chain
from phosphene import errors
from phosphene.layers import Layer, Layers
from phosphene.port_parity import parity
from phosphene.port_parity.layer_pairs import Matching, family, match, name_likeness


def test_other_names_are_aligned_by_what_layers_do(backend: str) -> None:
    renamed = [(f"unit{index}", step) for index, (_, step) in enumerate(STEPS)]
    extra = [("more", lambda x: 1.0 - x), ("less", lambda x: 1.0 - x), *renamed]
    found = parity(chain(backend, STEPS), chain(backend, extra), IMAGES, gradients=0)
    assert found.equal
    assert [(row.a, row.b, row.how) for row in found.rows] == [
        ("first", "unit0", "alignment"),
        ("second", "unit1", "alignment"),
        ("third", "unit2", "alignment"),
        ("fourth", "unit3", "alignment"),
        ("output", "output", "path"),
    ]
    assert [(item.network, item.path) for item in found.unmatched] == [("b", "more"), ("b", "less")]
    assert "is matched with a more similar layer" in found.unmatched[0].reason


def test_the_users_pairs_win_and_are_checked(backend: str) -> None:
    a, b = chain(backend, STEPS, "left"), chain(backend, STEPS, "right")
    found = parity(a, b, IMAGES, layers={"first": "second"}, gradients=0)
    assert [(row.b, row.how) for row in found.rows if row.a == "first"] == [("second", "given")]
    assert found.parted == "first"
    with pytest.raises(errors.UnknownLayer, match=r"no layer 'fist' in left. Did you mean 'first'"):
        parity(a, b, IMAGES, layers={"fist": "first"})
    with pytest.raises(errors.UnknownLayer, match="no layer 'sixth' in right"):
        parity(a, b, IMAGES, layers={"first": "sixth"})
    with pytest.raises(
        errors.InvalidParameter, match=r"a layer of right .* of shape 8 x 8 x 3, got 'output' of shape 3"
    ):
        parity(a, b, IMAGES, layers={"first": "output"})
    with pytest.raises(errors.InvalidParameter, match="layers: expected each layer once, got 'third' more than once"):
        parity(a, b, IMAGES, layers={"first": "third", "second": "third"})


def layers(*rows: tuple[str, str, tuple[int, ...], int]) -> Layers:
    return Layers([Layer(path, kind, shape, parameters) for path, kind, shape, parameters in rows], "net")


def matched(a: Layers, b: Layers) -> Matching:
    """Without activations: as where a fault at the beginning has spoilt them all."""

    def nothing(a: tuple[str, ...], b: tuple[str, ...]) -> Any:
        return tuple({path: np.zeros(4) for path in paths} for paths in (a, b))

    return match(a, b, names=("one", "two"), given=None, sketches=nothing)


def test_names_kinds_and_order_match_layers_whose_activations_do_not() -> None:
    shape = (4, 4, 8)
    a = layers(
        ("conv1", "Conv2d", shape, 216),
        ("bn1", "BatchNorm2d", shape, 16),
        ("relu", "ReLU", shape, 0),
        ("layer1.0.conv1", "Conv2d", shape, 576),
        ("layer1.0.bn1", "BatchNorm2d", shape, 16),
        ("layer1.0.downsample.0", "Conv2d", shape, 64),
        ("layer1.0", "BasicBlock", shape, 656),
        ("fc", "Linear", (5,), 45),
    )
    b = layers(
        ("stem", "Conv", shape, 216),
        ("stem_norm", "BatchNorm", shape, 16),
        ("stages.0.shortcut", "Conv", shape, 64),
        ("stages.0.conv", "Conv", shape, 576),
        ("stages.0.norm", "BatchNorm", shape, 16),
        ("stages.0", "Block", shape, 656),
        ("head", "Linear", (5,), 45),
    )
    found = matched(a, b)
    assert {pair.a: pair.b for pair in found.pairs} == {
        "conv1": "stem",
        "bn1": "stem_norm",
        "layer1.0.conv1": "stages.0.conv",
        "layer1.0.bn1": "stages.0.norm",
        "layer1.0.downsample.0": "stages.0.shortcut",
        "layer1.0": "stages.0",
        "fc": "head",
    }
    assert [(item.network, item.path) for item in found.unmatched] == [("a", "relu")]


def test_one_path_with_two_shapes_is_no_pair() -> None:
    found = matched(
        layers(("a", "Mark", (4, 2), 0), ("out", "Mark", (3,), 0)),
        layers(("a", "Mark", (5, 2), 0), ("out", "Mark", (3,), 0)),
    )
    assert [(pair.a, pair.b) for pair in found.pairs] == [("out", "out")]
    assert [item.reason for item in found.unmatched] == [
        "two has this path with shape 5 x 2, but no layer of shape 4 x 2",
        "one has this path with shape 4 x 2, but no layer of shape 5 x 2",
    ]


def test_nothing_in_common_is_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"networks without matching layers. one has a; two has b.*layers=\{path of one"
    ):
        matched(layers(("a", "Mark", (4, 2), 0)), layers(("b", "Mark", (5, 2), 0)))


@pytest.mark.parametrize(
    ("a", "b", "least"),
    [("layer1.0.conv1", "layer1_0.conv1", 0.7), ("layer1.0.bn1", "stages.1.0.norm1", 0.9), ("fc", "dense", 1.0)],
)
def test_names_that_mean_the_same_are_alike(a: str, b: str, least: float) -> None:
    assert name_likeness(a, b) >= least > name_likeness(a, "blocks.7.mlp.up")


def test_kinds_of_two_frameworks_are_of_one_family() -> None:
    assert family("BatchNorm2d") == family("BatchNorm") != family("LayerNorm")
    assert family("Conv2d") == family("Conv") and family("MultiheadAttention") == family("MultiHeadAttention")
    assert (
        family("MultiHeadAttention", container=True) == "attention"
        and family("ConvBlock", container=True) == "container"
    )
    assert family("Mark") is None


def test_what_paths_settle_parts_the_rest_into_before_and_after() -> None:
    shape = (4, 4, 8)
    a = layers(("conv1", "Conv2d", shape, 9), ("middle", "Mark", shape, 0), ("final", "Conv2d", shape, 9))
    b = layers(("middle", "Mark", shape, 0), ("conv2", "Conv", shape, 9))
    found = matched(a, b)
    assert [(pair.a, pair.b, pair.how) for pair in found.pairs] == [
        ("middle", "middle", "path"),
        ("final", "conv2", "alignment"),
    ]
    assert [item.path for item in found.unmatched] == ["conv1"]
