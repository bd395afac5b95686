"""Odd arguments of what makes pictures: each is taken, or refused by a named error; none ends raw, and none goes on for ever."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from fuzz.odd_values import ODD, RAW, REFUSED, Outcome, calls_with_odd_values, odd_value, tried
from fuzz.rendering_calls import SIZE, Call, calls, cleared, declared, network
from phosphene import errors

OWN_FUNCTIONS = ("progress",)
"""Arguments that are called with what is documented, and whose exceptions are passed on to the caller, who wrote them."""

FOR_LONG = re.compile(r"(steps|count)=<10\*\*6>")
"""As many steps and pictures are allowed, and take their time."""

QUICK, ALL = 400, 5000


def is_fine(words: str, outcome: Outcome) -> bool:
    own = outcome.kind == RAW and any(f"{name}=<" in words for name in OWN_FUNCTIONS)
    return outcome.fine or own


def faults(table: list[Call], count: int, seed: int, folder: Path, memory: int | None) -> list[str]:
    found = []
    for words, call in calls_with_odd_values(np.random.default_rng(seed), table, count):
        if FOR_LONG.search(words):
            continue
        outcome = tried(call, memory=memory)
        if not is_fine(words, outcome):
            found.append(f"{outcome.kind}: {words}: {outcome.story}")
        if outcome.kind == REFUSED:
            str(outcome.error).encode()
        if isinstance(outcome.value, ph.Renders) and not np.all(np.isfinite(outcome.value.images)):
            found.append(f"pictures that are not finite: {words}")
        cleared(folder)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, which relative paths are in as well."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_pytorch(count: int, folder: Path) -> None:
    pytest.importorskip("torch")
    assert faults(calls("torch", folder), count, count, folder, 3 << 30) == []


@pytest.mark.parametrize("name", ["jax", "numpy-reference"])
@pytest.mark.parametrize("count", [QUICK // 8, pytest.param(ALL // 5, marks=pytest.mark.slow)])
def test_what_is_declared_on_other_backends(name: str, count: int, folder: Path) -> None:
    """Of the functions that run a network, which JAX would compile for every size, only wrapping."""
    pytest.importorskip({"jax": "jax", "numpy-reference": "autograd"}[name])
    runs = {"render", "render of two", "render_all", "invert", "dream", "accentuate", "replay"}
    table = [call for call in calls(name, folder) if call[0] not in runs]
    assert faults(table, count, count, folder, None) == []


ELSEWHERE = {
    "int": [
        "True",
        "np.True_",
        "2.0",
        "2.7",
        "nan",
        "inf",
        "digit",
        "np.float32",
        "1j",
        "Decimal",
        "0-d float",
        "enum",
    ],
    "float": ["True", "np.True_", "nan", "inf", "digit", "1j", "np.complex64", "Decimal", "np.float32 nan"],
    "bool": ["zero", "2.0", "digit", "text", "empty text", "0-d flag", "empty list", "list of flags"],
    "str": ["bytes", "True", "list of text", "0-d text", "object"],
    "Sequence": ["letters", "bytes", "bytearray"],
}
"""By declared type, values that Python would take for one of it, and that nobody means."""


def test_nothing_is_taken_for_what_it_is_not(folder: Path) -> None:
    pytest.importorskip("torch")
    taken = []
    for name, function, makers in calls("torch", folder):
        for key, kinds in declared(name).items():
            odd = {value for kind in kinds for value in ELSEWHERE.get(kind, ())} if key in makers else set()
            if "str" in kinds:
                odd -= {"digit", "text", "empty text", "letters"}
            for value in sorted(odd & ODD.keys()):
                arguments = {other: make() for other, make in makers.items()} | {key: odd_value(value)}
                outcome = tried(lambda function=function, arguments=arguments: function(**arguments))
                if outcome.kind != REFUSED:
                    taken.append(f"{name}({key}=<{value}>) {outcome.kind} {outcome.story}")
        cleared(folder)
    assert taken == []


def test_a_single_item_counts_as_a_list_of_one(backend: str) -> None:
    net = network(backend)
    quiet: dict[str, Any] = {"size": SIZE, "steps": 1, "warm_up": 0, "progress": False, "crop": False}
    jitter, tv = ph.transforms.jitter(2), ph.regularizers.total_variation(0.1)
    listed = ph.render(net, [ph.channel("conv", 3)], transforms=[jitter], regularizers=[tv], **quiet)
    single = ph.render(net, ph.channel("conv", 3), transforms=jitter, regularizers=tv, **quiet)
    np.testing.assert_array_equal(listed.images, single.images)
    with pytest.raises(errors.InvalidParameter, match=r"^transforms: expected a list of transforms, got 'jitter'"):
        ph.render(net, ph.channel("conv", 3), transforms="jitter", **quiet)  # type: ignore[arg-type]


def test_channels_of_a_sheet_are_written_as_on_the_command_line(backend: str, tmp_path: Path) -> None:
    net = network(backend)
    quiet: dict[str, Any] = {"size": SIZE, "steps": 1, "warm_up": 0, "progress": False, "transforms": []}
    found = ph.render_all(net, "conv", tmp_path / "some", channels="1-3, 6", **quiet)
    same = ph.render_all(net, "conv", tmp_path / "same", channels=(1, 2, 3, 6), **quiet)
    np.testing.assert_array_equal(found.images, same.images)
    for channels in ("0-99999999", "3-1", "9" * 40, "1;2", "-1", "conv", "0," * 20_000):
        with pytest.raises(errors.InvalidParameter, match=r"^channels: expected integers and ranges"):
            ph.render_all(net, "conv", tmp_path / "none", channels=channels, **quiet)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objectives": "conv:0-99999999"}, "at most 10,000 channels"),
        ({"objectives": f"conv:0-{'9' * 60}"}, "indices of at most 9 digits"),
        ({"objectives": "conv:" + "7" * 5000}, "indices of at most 9 digits"),
        ({"objectives": ["conv:0-9999", "conv:0-9999"]}, "at most 10,000 objectives"),
        ({"seed": 2**128}, "seed: expected an integer from 0 to"),
        ({"slots": 10**6}, "slots: expected an integer of at most 10,000"),
        ({"warm_up": 10**12}, "warm_up: expected an integer of at most 1,000,000"),
        ({"size": (8, 10**6)}, "size: expected at most 16384 pixels"),
        ({"transforms": [None] * 2_000_000}, "transforms: expected a list of transforms with at most"),
    ],
)
def test_bounds_are_checked_before_anything_is_written_out(
    backend: str, arguments: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"objectives": "conv:0", "size": SIZE, "progress": False, **arguments}
    with pytest.raises(errors.InvalidParameter, match=message):
        ph.render(network(backend), **given)


def test_sums_of_many_terms_are_not_nested_and_deep_objectives_are_refused(backend: str) -> None:
    net = network(backend)
    many = sum((ph.channel("conv", index % 8) for index in range(900)), 0)
    bound = many.bind(net, net.shapes((SIZE, SIZE)))  # type: ignore[union-attr]
    assert bound.label.count("+") == 899

    def nested(levels: int) -> ph.Objective:
        made = ph.channel("conv", 0)
        for _ in range(levels):
            made = 2 * (1 - made)
        return made

    deepest = nested(15)
    deepest.bind(net, net.shapes((SIZE, SIZE)))
    with pytest.raises(errors.InvalidObjective, match=r"^objective: expected a sum of at most .* levels, got more"):
        nested(2000)


def test_a_sum_reads_as_it_is_written() -> None:
    a, b, c = (ph.channel("conv", index) for index in range(3))
    assert (a + b - c).label == "conv : 0 + conv : 1 - conv : 2"
    assert (a - (b - c)).label == "conv : 0 - (conv : 1 - conv : 2)"
    assert (2 * a + b - 1).label == "2 x conv : 0 + conv : 1 - 1"
    assert (0 * a + b).label == "0 x conv : 0 + conv : 1"
