"""Errors come whole out of another process, and every error about an argument says how to fix it."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from phosphene import errors

MADE: list[errors.PhospheneError] = [
    errors.InvalidParameter("size", allowed="pixels", received=0, fix="Give some."),
    errors.UnknownLayer("stage9", ["stage1", "stage2"], "specimen"),
    errors.UnknownClass("coin", ["coins"], 1),
    errors.InvalidImages("images", allowed="floats", received=errors.said("bytes"), fix="Divide by 255."),
    errors.MissingDependency("umap-learn", "umap"),
    errors.MissingBackend("keras_backend", "keras", detail="No module named 'keras'"),
    errors.CorruptFile("a.jpg", "no picture"),
    errors.CorruptStore("a", "shard 1 is damaged"),
    errors.CorruptWeights("w", "damaged"),
    errors.MissingWeights("w", "here", "there", "no route"),
    errors.UnwritablePath("out", "No space left on device"),
    errors.OtherStore("out: another"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_pickled_and_copied_they_say_the_same(error: errors.PhospheneError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error) and str(again) == str(error) and again.__dict__ == error.__dict__


def test_every_exception_that_takes_more_than_a_message_is_tried() -> None:
    own = {kind for kind in vars(errors).values() if inspect.isclass(kind) and "__init__" in vars(kind)}
    assert own <= {type(error) for error in MADE}


class Unshown:
    def __repr__(self) -> str:
        raise LookupError("no name")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Unshown(), f"<{__name__}.Unshown object>"),
        ([1, {"a": Unshown()}], f"[1, {{'a': <{__name__}.Unshown object>}}]"),
        (10**5000, "an integer of 16,610 bits"),
        (-(10**5000), "a negative integer of 16,610 bits"),
        ("\udcff" + "y" * 10**7, "'\\udcff" + "y" * 110 + "..."),
        (range(10**15), "range(0, 1000000000000000)"),
        ({"b": 1, "a": 2}, "{'b': 1, 'a': 2}"),
        (functools.reduce(lambda inner, _: [inner], range(10_000), []), "[[[[[[[...]]]]]]]"),
    ],
    ids=range(8),
)
def test_any_value_can_be_shown(value: object, shown: str) -> None:
    found = str(errors.InvalidParameter("size", allowed="pixels", received=value, fix="Give some."))
    assert found == f"size: expected pixels, got {shown}. Give some."


def test_what_no_terminal_can_be_given_is_escaped() -> None:
    found = str(errors.CorruptFile("caf\udce9.png", "no picture"))
    assert found == "caf\\udce9.png: no picture" and found.encode()


ROOT = Path(__file__).parents[2]
WITH_FIX = {"InvalidParameter", "InvalidImages", "InvalidObjective"}


def empty(value: ast.expr | None) -> bool:
    """Whether a keyword argument is missing, or an empty string on at least one way."""
    if isinstance(value, ast.IfExp):
        return empty(value.body) or empty(value.orelse)
    return value is None or (isinstance(value, ast.Constant) and not value.value)


def without_fix(source: str) -> Iterator[int]:
    """Lines at which an error about an argument is made without a fix."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            fix = next((keyword.value for keyword in node.keywords if keyword.arg == "fix"), None)
            if name in WITH_FIX and empty(fix):
                yield node.lineno


def test_every_error_about_an_argument_says_how_to_fix_it() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("core", "backends")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in without_fix(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        ("InvalidParameter('a', allowed='b', received=1, fix='Do this.')", []),
        ("errors.InvalidImages('a', allowed='b', received=1, fix=advice)", []),
        ("InvalidParameter('a', allowed='b', received=1)", [1]),
        ("errors.InvalidObjective('a', allowed='b', received=1, fix='')", [1]),
        ("InvalidParameter('a', allowed='b', received=1, fix='Do this.' if near else '')", [1]),
    ],
)
def test_a_missing_fix_is_found(call: str, lines: list[int]) -> None:
    assert list(without_fix(call)) == lines
