"""Odd arguments of every kind: a public function takes them, or says in phosphene's words what it takes instead."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from small_models import small_network

SIZE = 12
PICTURES = np.random.default_rng(5).random((2, SIZE, SIZE, 3)).astype(np.float32)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([-(2**65), 10**9, 2**70]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["conv", "norm", "cat", "torch", "cpu", "2", "conv:1", "conv:0-2", "measured", "mean"]),
    st.binary(max_size=2),
    st.lists(st.one_of(st.integers(-1, 9), st.floats(-1, 2), st.text(max_size=2), st.none()), max_size=3),
    st.dictionaries(
        st.one_of(st.text(max_size=2), st.integers(0, 3)), st.one_of(st.none(), st.integers(0, 3)), max_size=2
    ),
    st.sampled_from(
        [np.float32(0.5), np.int64(3), np.zeros(0), np.ones(3), np.ones((2, 2)), np.asarray("a"), np.asarray(2.0)]
    ),
    st.builds(object),
    st.sampled_from([..., int, len, lambda *given, **named: None, [[1], [1, 2]], range(3), {1, 2}, 1j]),
)


@functools.cache
def network(backend: str) -> Network:
    return ph.wrap(small_network(backend), size=SIZE, classes=["cat", "dog", "crane", "crane", "owl"])


def bound(make: Callable[..., Any], net: Network, **arguments: Any) -> Any:
    made = make(**arguments)
    for item in made if isinstance(made, list) else [made]:
        item.bind(net, net.shapes((SIZE, SIZE)))


def calls(net: Network) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """By name a function, and arguments that it takes."""
    quiet = {"steps": 1, "progress": False}
    recipe = {"seed": 0, "parameterization": None, "transforms": [], "optimizer": None}
    unit = ph.channel("conv", 0)
    model = small_network(net.backend.name)
    found: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "wrap": (functools.partial(ph.wrap, model), {**defaults(ph.wrap), "size": SIZE}),
        "render": (
            lambda objectives, **others: ph.render(net, objectives, **others),
            {**defaults(ph.render), "objectives": [unit], "size": 6, "warm_up": 0, **recipe, **quiet},
        ),
        "invert": (
            lambda source, layer, **others: ph.invert(net, source, layer, **others),
            {**defaults(ph.invert), "source": PICTURES[:1], "layer": "conv", **recipe, **quiet},
        ),
        "dream": (
            lambda image, objective, **others: ph.dream(net, image, objective, **others),
            {**defaults(ph.dream), "image": PICTURES[0], "objective": unit, "octaves": 1, **quiet},
        ),
        "accentuate": (
            lambda image, objective, **others: ph.accentuate(net, image, objective, **others),
            {
                **defaults(ph.accentuate),
                "image": PICTURES[0],
                "objective": unit,
                "layer": "norm",
                "weights": (1.0,),
                **quiet,
            },
        ),
        "attribute": (
            lambda images, target, **others: ph.attribute(net, images, target, **others),
            {
                "images": PICTURES,
                "target": 1,
                "method": "gradient",
                "layer": None,
                "sanity": False,
                "faithfulness": False,
            },
        ),
        "InputSpec": (ph.InputSpec, {**defaults(ph.InputSpec), "size": (SIZE, SIZE)}),
    }
    required = {
        "layer": "conv",
        "channel": 1,
        "channels": [0, 1],
        "vector": np.ones(8),
        "wanted": 1,
        "function": lambda xp, activations: xp.mean(activations["conv"], axis=(1, 2, 3)),
        "pattern": np.ones((2, 2, 8)),
        "first": unit,
        "second": ph.logit(1),
        "objective": unit,
        "count": 2,
    }
    for name in ph.objectives.__all__:
        make = getattr(ph.objectives, name)
        if inspect.isfunction(make):
            taken = inspect.signature(make).parameters
            own = {key: required[key] for key in taken if key in required}
            found[f"objectives.{name}"] = (functools.partial(bound, make, net), {**defaults(make), **own})
    for space in ("transforms", "regularizers", "optimizers", "parameterizations"):
        for name in getattr(ph, space).__all__:
            make = getattr(getattr(ph, space), name)
            if inspect.isfunction(make):
                found[f"{space}.{name}"] = (
                    make,
                    {**dict.fromkeys(inspect.signature(make).parameters, 2), **defaults(make)},
                )
    return found


def defaults(make: Callable[..., Any]) -> Mapping[str, Any]:
    kinds = inspect.signature(make).parameters.values()
    return {item.name: item.default for item in kinds if item.default is not item.empty}


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_an_odd_argument_is_taken_or_refused_in_our_words(backend: str, data: st.DataObject) -> None:
    table = calls(network(backend))
    # Compiling for every size that happens to be valid would take minutes; what core checks does not depend on the framework.
    costly = ("render", "invert", "dream", "accentuate", "attribute", "wrap")
    names = sorted(name for name in table if backend == "torch" or name not in costly)
    name = data.draw(st.sampled_from(names))
    function, arguments = table[name]
    if not arguments:
        return
    key = data.draw(st.sampled_from(sorted(arguments)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(errors.PhospheneError):
            function(**{**arguments, key: data.draw(odd)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "96"}, r"^size: expected pixels: an integer of at least 1, or \(height, width\), got '96'"),
        ({"size": (8, 8.0)}, "^size: expected pixels"),
        ({"size": True}, "^size: expected pixels"),
        ({"channels": "3"}, "^channels: expected an integer from 1 to"),
        ({"mean": "half"}, "^mean: expected a number or a sequence of numbers, got 'half'"),
        ({"std": [0.2, "0.2", 0.2]}, "^std: expected a finite number, got '0.2'"),
        ({"range": "01"}, "^range: expected a number or a sequence"),
        ({"range": (0, 1, 2)}, r"^range: expected \(low, high\)"),
        ({"frozen": "0"}, "^frozen: expected a sequence of integers, got '0'"),
        ({"classes": {"cat": 0}}, "^classes: expected a sequence of strings"),
        ({"classes": "owl"}, "^classes: expected 5 names"),
        ({"tokens": 3}, "^tokens: expected a sequence of strings, got 3"),
        ({"channel_axis": "conv"}, "^channel_axis: expected a mapping"),
        ({"device": 0}, "^device: expected a string"),
        ({"dtype": np.float32}, "^dtype: expected a string"),
        ({"name": 7}, "^name: expected a string"),
        ({"backend": ["torch"]}, "^backend: expected '"),
    ],
)
def test_types_are_told_before_values(backend: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        ph.wrap(small_network(backend), **{"size": SIZE, **arguments})


def test_one_string_or_number_counts_as_a_sequence_of_one(backend: str) -> None:
    net = ph.wrap(small_network(backend), size=np.int64(SIZE), frozen=2, mean=np.float32(0.5), std=[0.5])
    assert net.input.frozen == (2,) and net.input.mean == (0.5,) and net.input.size == (SIZE, SIZE)
    objective = ph.objective(lambda xp, activations: activations["drop"][:, 0], layers="drop")
    assert objective.bind(net, net.shapes((SIZE, SIZE))).form.layers == ("drop",)


def test_a_call_that_fits_no_memory_is_refused_before_it_begins(backend: str) -> None:
    net = network(backend)
    with pytest.raises(errors.InvalidParameter, match=r"^steps: expected at most 1,000,000, got 1000000000"):
        ph.render(net, ph.channel("conv", 0), steps=10**9)
    with pytest.raises(errors.InvalidParameter, match=r"^size: expected at most 16384 pixels per side"):
        ph.render(net, ph.channel("conv", 0), size=10**6)
    with pytest.raises(errors.InvalidParameter, match=r"^steps: expected a result of at most 16 GiB, got one of"):
        ph.render(net, [ph.channel("conv", 0)] * 5000, steps=10**6, size=8)
