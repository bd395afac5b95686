"""Targets by name, text and arithmetic: what a class, a text or a number stands for, and what has no meaning."""

from __future__ import annotations

import fractions
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.findings import Findings
from phosphene.objectives.location import ShapesAt
from small_models import small_network

BIRDS = ["heron", "maillot", "crane", "maillot", "7"]
QUICK: dict[str, Any] = {"size": 10, "steps": 1, "warm_up": 0, "progress": False}


@pytest.fixture
def birds(backend: str) -> Network:
    return ph.wrap(small_network(backend), size=12, classes=BIRDS)


def values(network: Network, objective: Any, seed: int = 3) -> Any:
    """Values of an objective on random images of the network's own size."""
    images = np.random.default_rng(seed).random((2, *network.input.size, 3)).astype(np.float32)
    return ph.attribute(network, images, objective, method="gradient").values


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x: ph.render(net, ph.logit("maillot"), **QUICK),
        lambda net, x: ph.render(net, "maillot", **QUICK),
        lambda net, x: ph.render(net, [ph.logit("crane"), 2 * ph.logit("maillot")], **QUICK),
        lambda net, x: ph.attribute(net, x, "maillot", method="gradient"),
        lambda net, x: ph.attribute(net, x, ["crane", "maillot"], method="gradient"),
        lambda net, x: ph.compare([net, net], ["maillot"], **QUICK),
        lambda net, x: ph.accentuate(net, x[0], "maillot", layer="conv", steps=1, progress=False),
    ],
)
def test_a_name_of_two_classes_is_refused_with_both_indices(
    birds: Network, call: Callable[[Network, Any], Any]
) -> None:
    x = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32)
    with pytest.raises(
        errors.InvalidParameter, match=r"class: expected the index of one of the 2 classes of that name, 1 or 3"
    ):
        call(birds, x)


def test_an_index_says_which_of_them_it_is_and_other_names_go_on_working(birds: Network) -> None:
    shapes = ShapesAt(birds, (12, 12))
    assert ph.logit(3).bind(birds, shapes).label == "maillot (class 3)"
    assert ph.logit("crane").bind(birds, shapes).label == "crane"
    assert values(birds, "crane") == pytest.approx(values(birds, 2))
    assert int(ph.logit("7").bind(birds, shapes).arguments[0]) == 4  # a name comes before an index
    assert int(ph.logit("0").bind(birds, shapes).arguments[0]) == 0


def test_text_stands_for_what_it_stands_for_on_the_command_line(birds: Network) -> None:
    found = ph.render(birds, ["heron", "conv:2-4", "norm:1@3,4", "conv:6@centre", "norm:all", "1"], **QUICK)
    assert found.labels == (
        *("heron", "conv : 2", "conv : 3", "conv : 4", "norm : 1 at 3, 4", "conv : 6 at centre", "norm : all"),
        "maillot (class 1)",
    )
    assert ph.render(birds, "conv:0-1", **QUICK).labels == ("conv : 0", "conv : 1")
    made = ph.render(birds, (ph.channel("conv", index) for index in (5, 6)), **QUICK)
    assert made.labels == ("conv : 5", "conv : 6")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "objectives: expected a class"),
        ("herons", "no class 'herons'. Did you mean 'heron'"),
        ("conv:9", "channel: expected 0 to 7"),
        ("cnov:1", "no layer 'cnov'"),
        ("conv:4-2", "the first before the last"),
        ("99", "no class 99: the network has 5 classes"),
    ],
)
def test_text_that_stands_for_nothing_is_told(birds: Network, text: str, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        ph.render(birds, text, **QUICK)


def test_one_target_is_not_several(birds: Network) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"objective: expected one objective, got 'conv:0-3'. It stands for 4"
    ):
        ph.accentuate(birds, np.full((12, 12, 3), 0.5, np.float32), "conv:0-3", layer="conv", steps=1)


def test_one_integer_is_a_position_on_one_axis(birds: Network, load: Callable[..., Network]) -> None:
    with pytest.raises(
        errors.InvalidParameter, match=r"at: expected a position in 'conv', which has 10 x 10.*row and column"
    ):
        ph.render(birds, ph.neuron("conv", 0, at=7), **QUICK)
    for wrong in (2.5, [1, 2.5], True, {"row": 1}):
        with pytest.raises(errors.InvalidParameter, match=r"^at: expected"):
            ph.neuron("conv", 0, at=wrong)  # type: ignore[arg-type]
    assert ph.neuron("a", 0, at=np.int64(4)) == ph.neuron("a", 0, at=(4,)) == ph.neuron("a", 0, at=4)


def test_arithmetic_of_objectives_is_that_of_their_values(birds: Network) -> None:
    a, b = ph.channel("conv", 1), ph.logit("crane")
    one, other = values(birds, a), values(birds, b)
    for objective, expected in (
        (1 + a, 1 + one),
        (a - 2.5, one - 2.5),
        (2 - a, 2 - one),
        (-a, -one),
        (+a, one),
        (a / 4, one / 4),
        (np.float64(3) * a, 3 * one),
        (a * np.int32(3), 3 * one),
        (np.float32(0.5) - a, 0.5 - one),
        (np.asarray(2.0) * a, 2 * one),
        (fractions.Fraction(1, 2) * a, one / 2),
        (sum([a, b, a]), 2 * one + other),
        ((a + b) / 2 - 1, (one + other) / 2 - 1),
        (3 - 2 * (a - b) * b, 3 - 2 * (one - other) * other),
        (0 - a, -one),
    ):
        assert values(birds, objective) == pytest.approx(expected, rel=1e-4, abs=1e-5), objective.label


@pytest.mark.parametrize(
    "make",
    [
        lambda o: o / 0,
        lambda o: o / o,
        lambda o: 1 / o,
        lambda o: o**2,
        lambda o: o + "1",
        lambda o: (1,) - o,
        lambda o: o * None,
        lambda o: np.arange(3) * o,
        lambda o: o * float("nan"),
        lambda o: o - float("inf"),
        lambda o: o * 1j,
        lambda o: o * True,
    ],
)
def test_what_has_no_meaning_is_told(make: Callable[[Any], Any]) -> None:
    with pytest.raises(errors.InvalidObjective, match=r"^objective \S+: expected .*, got .*ph\.objective"):
        make(ph.channel("conv", 1))


def test_brackets_keep_a_title_unambiguous() -> None:
    a, b = ph.channel("a", 1), ph.channel("b", 2)
    assert (2 - (a + b)).label == "2 - (a : 1 + b : 2)"
    assert ((a + b) / 2).label == "0.5 x (a : 1 + b : 2)"
    assert (a - 1.5).label == "a : 1 - 1.5" and (a + b - a).label == "a : 1 + b : 2 - a : 1"


def test_a_function_is_tried_at_the_size_that_is_rendered(birds: Network) -> None:
    """It holds an array of 18 x 18 values, which fits the layer of 18 x 18 positions and no other."""
    mask = np.random.default_rng(1).random((18, 18, 8))

    def masked(xp: Any, activations: Any) -> Any:
        layer = activations["conv"]
        return xp.mean(layer * birds.backend.from_numpy(mask, device=birds.device, dtype=birds.dtype), axis=(1, 2, 3))

    found = ph.render(birds, masked, size=18, steps=1, warm_up=0, transforms=[], progress=False)
    assert found.images.shape == (1, 18, 18, 3) and np.isfinite(found.values).all()
    x = np.random.default_rng(0).random((1, 18, 18, 3)).astype(np.float32)
    assert np.isfinite(ph.attribute(birds, x, masked, method="gradient").maps).all()
    assert ph.dream(birds, x[0], masked, octaves=1, steps=1, progress=False).images.shape == (1, 18, 18, 3)
    with pytest.raises(
        errors.InvalidObjective, match=r"objective: expected a function .* from 'masked'.*test_named_targets.py"
    ):
        ph.render(birds, masked, **QUICK)


def fixed_head(network: Network) -> Network:
    """The network as one whose head needs images of its own size: behind ``norm`` nothing is known at another."""
    whole, forward = network.shapes, network.forward
    before = ("conv", "norm")

    def shapes(size: tuple[int, int]) -> Any:
        found = whole(size)
        return found if tuple(size) == network.input.size else {path: found[path] for path in before}

    def computed(images: Any, layers: Any, **others: Any) -> Any:
        if tuple(images.shape[1:3]) != network.input.size and not set(layers) <= set(before):
            raise errors.ModelFailed("the head of the model expects 8 features and got 11")
        return forward(images, layers, **others)

    object.__setattr__(network, "shapes", shapes)
    object.__setattr__(network, "forward", computed)
    return network


def test_another_size_needs_only_what_lies_below_the_layer(birds: Network) -> None:
    net = fixed_head(birds)
    x = np.random.default_rng(0).random((1, 20, 20, 3)).astype(np.float32)
    assert ph.render(net, "norm:1", **QUICK).images.shape == (1, 10, 10, 3)
    assert ph.render(net, lambda xp, a: xp.mean(a["conv"], axis=(1, 2, 3)), **QUICK).images.shape == (1, 10, 10, 3)
    assert ph.attribute(net, x, ph.channel("conv", 2), method="gradient").maps.shape == (1, 20, 20)
    assert ph.invert(net, x, "conv", steps=1, progress=False).images.shape == (1, 20, 20, 3)
    message = r"layer 'output' cannot be computed from images of 10 x 10 pixels: the head of the model expects 8.*own size, 12 x 12"
    with pytest.raises(errors.ModelFailed, match=message):
        ph.render(net, "crane", **QUICK)
    with pytest.raises(errors.ModelFailed, match="layer 'drop' cannot be computed from images of 10 x 10"):
        ph.render(net, lambda xp, a: a["drop"][:, 0], **QUICK)


def test_the_settings_of_pictures_say_that_the_network_draws_random_numbers(birds: Network) -> None:
    assert "random" not in ph.render(birds, "conv:0", **QUICK).settings
    object.__setattr__(birds, "findings", Findings(random=True))
    made = ph.render(birds, "conv:0", **QUICK)
    assert made.settings["random"] is True
    again = ph.replay(made, network=birds)
    assert again.settings["random"] is True and np.array_equal(again.images, made.images)
    sums = ph.render(birds, 1 - ph.channel("conv", 3) / 2, **QUICK)
    assert np.array_equal(ph.replay(sums, network=birds).images, sums.images)
