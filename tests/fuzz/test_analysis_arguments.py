"""Odd arguments of what analyses networks, and of the methods of results: they work, or are refused by an error that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from fuzz.analysis_calls import Call, calls
from fuzz.odd_values import RAW, WORKED, Outcome, calls_with_odd_values, odd_value, tried
from phosphene.errors import InvalidParameter

IMAGES = frozenset() if hasattr(ph, "images") else frozenset({"images", "positives", "negatives"})
"""Arguments that go through `phosphene.images`, as soon as there is one door for images."""

REFUSED: Mapping[str, str] = {
    "integer": "True|np.True_|2.7|2.0|digit|nan|inf|1j|Decimal|bytes|list of None|dict|tensor|0-d float|generator|10**5000",
    "number": "True|digit|nan|inf|1j|Decimal|bytes|list of None|dict|surrogate|10**5000|object",
    "flag": "zero|2.7|nan|text|empty text|empty list|ones|object|10**9",
    "text": "True|zero|2.7|bytes|object|empty list|dict|deep list|everything raises",
    "path": "True|zero|2.7|bytes|object|empty list|dict|NUL|path of NUL|surrogate|empty text|class",
    "choice": "True|zero|2.7|bytes|object|text|empty list|deep list|long text|everything raises",
    "integers": "True|2.7|digit|bytes|dict|list of None|list of floats|list of flags|array of text|endless generator|huge range",
}
"""Odd values, by the type of an argument, that are never taken for what they are not."""

MOST = 4000
"""Characters of a message."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Call]]:
    """The calls; what odd paths write goes into a folder of the test."""
    folder = tmp_path_factory.mktemp("analysis")
    here = folder / "here"
    here.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        yield calls(folder)


def _makers(call: Call) -> dict[str, Callable[[], Any]]:
    def maker(name: str) -> Callable[[], Any]:
        return lambda: call.given()[name]

    return {name: maker(name) for name in call.given() if name not in IMAGES}


def _function(call: Call) -> Callable[..., Any]:
    def run(**given: Any) -> Any:
        whole = {**call.given(), **given}
        try:
            return call.run(**whole)
        except Exception as error:
            if callable(whole.get("progress")) and not isinstance(error, ph.PhospheneError):
                return None  # of the caller's own function: it stops the run
            raise

    return run


def _said(outcome: Outcome) -> str:
    text = str(outcome.error)
    text.encode()
    return text


def _faults(table: Mapping[str, Call], count: int, seed: int) -> list[str]:
    """What is wrong with some calls, drawn at random."""
    rows = [(name, _function(call), _makers(call)) for name, call in sorted(table.items())]
    rows = [row for row in rows if row[2]]
    quick = [row for row in rows if not table[row[0]].slow]
    found = []
    for name, call in calls_with_odd_values(np.random.default_rng(seed), [*rows, *quick * 3], count):
        outcome = tried(call)
        if not outcome.fine:
            found.append(f"{name}: {outcome.kind}, {outcome.story}")
        elif outcome.error is not None and len(_said(outcome)) > MOST:
            found.append(f"{name}: a message of {len(_said(outcome)):,} characters")
    return found


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_call_works_with_its_own_arguments(table: dict[str, Call], slow: bool) -> None:
    for name, call in table.items():
        if call.slow != slow:
            continue
        outcome = tried(lambda call=call: call.run(**call.given()), 60)
        missing = isinstance(outcome.error, FileNotFoundError) and "no answers" in str(outcome.error)
        assert outcome.kind == WORKED or missing, f"{name}: {outcome.story}"


def test_odd_arguments_are_refused_by_name_or_taken(table: dict[str, Call]) -> None:
    faults = _faults(table, 400, seed=0)
    assert not faults, "\n".join(faults)


@pytest.mark.slow
def test_thousands_of_odd_arguments_are_refused_by_name_or_taken(table: dict[str, Call]) -> None:
    faults = _faults(table, 5000, seed=1)
    assert not faults, "\n".join(faults)


def test_what_is_of_another_type_is_refused_and_the_argument_is_named(table: dict[str, Call]) -> None:
    wrong = []
    for name, call in table.items():
        for argument, kind in call.types.items():
            for value in REFUSED[kind.rstrip("?")].split("|"):
                given = {**call.given(), argument: odd_value(value)}
                outcome = tried(lambda call=call, given=given: call.run(**given))
                if outcome.kind in (WORKED, RAW) or not isinstance(outcome.error, InvalidParameter):
                    wrong.append(f"{name}({argument}=<{value}>): {outcome.kind} {outcome.story}")
                elif argument not in _said(outcome):
                    wrong.append(f"{name}({argument}=<{value}>) does not name it: {_said(outcome)}")
    assert not wrong, "\n".join(wrong)
