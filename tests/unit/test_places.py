"""A position in a layer: of a map, of a list of tokens, of the grid that tokens stand for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene.errors import InvalidParameter
from phosphene.layers import Layer, Layers, Tokens

TOKENS = Tokens(("class", "register", "register"), (4, 6))
LAYERS = Layers(
    [
        Layer("map", "Conv2d", (5, 7, 8), 0),
        Layer("block", "Block", (27, 8), 0, tokens=TOKENS),
        Layer("block@attention", "Attention", (27, 27, 2), 0, channel_axis=1, tokens=TOKENS),
        Layer("queries", "Decoder", (10, 8), 0),
        Layer("vector", "Linear", (8,), 0),
        Layer("output", "Output", (5, 7, 3), 0),
    ],
    "net",
)
NETWORK: Any = SimpleNamespace(layers=LAYERS, classes=("road", "sky", "tree"), name="net")
SHAPES = {path: layer.shape for path, layer in LAYERS.items()}


def bind(objective: ph.Objective) -> Any:
    return objective.bind(NETWORK, SHAPES)


@pytest.mark.parametrize(
    ("layer", "at", "wanted"),
    [
        ("map", (4, 6), [4, 6]),
        ("block", (0, 0), [3]),
        ("block", (3, 5), [3 + 3 * 6 + 5]),
        ("block", (2,), [2]),
        ("block", "class", [0]),
        ("block", "register", [1]),
        ("block", None, [3 + 2 * 6 + 3]),
        ("block", "centre", [3 + 2 * 6 + 3]),
        ("block@attention", (0, 26), [0, 26]),
        ("queries", (9,), [9]),
    ],
)
def test_where_a_place_is(layer: str, at: Any, wanted: list[int]) -> None:
    neuron = bind(ph.neuron(layer, 1, at))
    assert not neuron.form.central
    assert neuron.arguments[1].tolist() == wanted
    direction = bind(ph.direction(layer, np.ones(LAYERS[layer].channels), at="centre" if at is None else at))
    assert direction.arguments[2].tolist() == wanted


@pytest.mark.parametrize("layer", ["map", "queries", "vector"])
def test_the_middle_of_a_layer_without_tokens_moves_with_its_size(layer: str) -> None:
    assert bind(ph.neuron(layer, 1)).form.central


@pytest.mark.parametrize(
    ("layer", "at", "message"),
    [
        ("map", (5, 0), "has 5 x 7 positions"),
        ("map", "class", "expected 'centre' or a position in 'map'"),
        ("block", (4, 0), "has 4 x 6 positions"),
        ("block", (27,), "has 27 positions"),
        ("block", "patch", "expected 'centre', 'class', 'register' or a position in 'block'"),
        ("queries", (1, 1), "has 10 positions"),
        ("vector", (0,), "has no positions"),
    ],
)
def test_a_place_that_is_not_there(layer: str, at: Any, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        bind(ph.neuron(layer, 1, at))


def test_a_dense_logit_is_averaged_or_read_at_a_position() -> None:
    everywhere, somewhere = bind(ph.logit("sky")), bind(ph.logit("sky", at=(1, 2)))
    assert (everywhere.label, somewhere.label) == ("sky", "sky at 1, 2")
    assert somewhere.arguments[0] == 1 and somewhere.arguments[1].tolist() == [1, 2]
    assert bind(ph.logit(2, at="centre")).label == "tree at centre"
    with pytest.raises(InvalidParameter, match="has 5 x 7 positions"):
        bind(ph.logit("sky", at=(7, 7)))


def test_tokens_say_what_they_are() -> None:
    assert str(TOKENS) == "class + 2 register + 4 x 6" and TOKENS.count == 27
    assert LAYERS["block"].axes == ("token", "channel")
    assert LAYERS["block@attention"].axes == ("query", "key", "head")
    assert LAYERS["map"].axes == ("row", "column", "channel")
    assert Layer("w", "Block", (4, 9, 8), 0, windows=4).axes == ("window", "token", "channel")
    assert "class + 2 register + 4 x 6" in repr(LAYERS)
