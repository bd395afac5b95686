"""Checks of arguments: what passes comes back, and what does not is told in one grammar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from phosphene import errors
from phosphene.kit import checks


@pytest.mark.parametrize("value", [0, 3, np.int64(3), 2**62])
def test_integers_pass(value: Any) -> None:
    assert checks.integer("steps", value) == value


@pytest.mark.parametrize("value", [-1, 1.0, True, "3", None, np.float32(2), [1]])
def test_what_is_no_integer_is_told(value: Any) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"^steps: expected an integer of at least 0, got .*steps=1\.$"):
        checks.integer("steps", value)


def test_an_upper_bound_is_told_with_an_example_inside_it() -> None:
    with pytest.raises(errors.InvalidParameter, match=r"from 0 to 0, got 4\. For example row=0\."):
        checks.integer("row", 4, maximum=0)


@pytest.mark.parametrize(
    ("bounds", "value", "allowed"),
    [
        ({}, math.nan, "a finite number"),
        ({"minimum": 0}, -0.5, "a number of at least 0"),
        ({"minimum": 0, "open_minimum": True}, 0, "a number above 0"),
        ({"maximum": 2}, 3, "a number of at most 2"),
        ({"minimum": 0, "maximum": 1}, math.inf, "a number of at least 0 and at most 1"),
        ({}, True, "a finite number"),
        ({}, "1", "a finite number"),
    ],
)
def test_numbers_outside_their_range_are_told(bounds: dict[str, Any], value: Any, allowed: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=f"^rate: expected {allowed}, got .*For example rate="):
        checks.number("rate", value, **bounds)


@pytest.mark.parametrize("value", [0, 0.25, np.float32(1)])
def test_numbers_inside_their_range_come_back_as_floats(value: Any) -> None:
    found = checks.share("quantile", value)
    assert isinstance(found, float)
    assert found == value


def test_a_choice_names_what_resembles_it_or_gives_an_example() -> None:
    options = ("nmf", "kmeans", "dictionary")
    assert checks.choice("method", "kmeans", options) == "kmeans"
    with pytest.raises(
        errors.InvalidParameter, match=r"expected 'nmf', 'kmeans' or 'dictionary', got 'kmean'\. Did you mean"
    ):
        checks.choice("method", "kmean", options)
    with pytest.raises(errors.InvalidParameter, match=r"got 7\. For example method='nmf'\."):
        checks.choice("method", 7, options)


@pytest.mark.parametrize(
    ("given", "count", "single", "allowed"),
    [
        (2, 1, False, r"1 item \(one per objective\), got 2"),
        (2, 3, False, r"3 items \(one per objective\), got 2"),
        (2, 3, True, r"1 item, or 3 items \(one per objective\), got 2"),
        (2, 1, True, r"1 item \(one per objective\), got 2"),
    ],
)
def test_one_per_counts_in_grammatical_english(given: int, count: int, single: bool, allowed: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=f"^start: expected {allowed}"):
        checks.one_per("start", list(range(given)), count, "objective", single=single)
    assert checks.one_per("start", list(range(count)), count, "objective", single=single) == list(range(count))
