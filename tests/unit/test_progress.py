"""Progress off a terminal, in a notebook with and without widgets, and figures that a notebook shows."""

from __future__ import annotations

import logging
import pickle
import sys
import types
from typing import Any

import pytest

import phosphene as ph
from phosphene import errors
from phosphene.backend import Network
from phosphene.cli import _progress_logged
from phosphene.kit import progress
from phosphene.kit.figures import figure_class
from phosphene.kit.progress import Progress, reporter

STATES = [
    Progress(done, 3500, "steps", float(seconds)) for seconds, done in ((1, 10), (40, 1200), (55, 1500), (100, 3499))
]


class Clock:
    """A clock that stands at the seconds of the state that is told next."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(monkeypatch: pytest.MonkeyPatch, wanted: bool | None) -> None:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    with reporter(wanted, "render", 3500) as told:
        for state in STATES:
            clock.now = state.seconds
            assert told(state) is not False


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


LINES = [
    "render: 34%, 1,200 of 3,500 steps, about 77 s left",
    "render: 100%, 3,499 of 3,500 steps, about 0 s left",
]


@pytest.mark.parametrize("wanted", [None, True])
def test_off_a_terminal_a_line_is_logged_every_half_minute(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    wanted: bool | None,
) -> None:
    with caplog.at_level(logging.INFO, "phosphene.progress"):
        tell(monkeypatch, wanted)
    assert [record.getMessage() for record in caplog.records] == LINES
    assert capsys.readouterr().err == ""


def test_without_logging_a_line_is_written_if_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.LOG, "level", logging.WARNING)
    tell(monkeypatch, None)
    assert capsys.readouterr().err == ""
    tell(monkeypatch, True)
    assert capsys.readouterr().err.splitlines() == LINES
    tell(monkeypatch, False)
    assert capsys.readouterr().err == ""


def test_the_command_line_shows_these_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(progress.LOG.handlers), progress.LOG.level, progress.LOG.propagate
    with _progress_logged():
        tell(monkeypatch, None)
    assert (list(progress.LOG.handlers), progress.LOG.level, progress.LOG.propagate) == before
    assert capsys.readouterr().err.splitlines() == [f"phosphene: {line}" for line in LINES]


def test_a_notebook_without_widgets_draws_a_line_over_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    tell(monkeypatch, None)
    written = capsys.readouterr().err
    assert "\n" not in written and written.count("\r") == len(STATES) + 2
    assert f"\r{LINES[0]}" in written and written.endswith(" \r")


def test_what_is_no_progress_is_told() -> None:
    for wrong in ("bar", 3, int):
        with pytest.raises(errors.InvalidParameter, match=r"^progress: expected a function, True, False or None"):
            reporter(wrong, "render", 1)  # type: ignore[arg-type]


def test_figures_show_themselves_and_can_be_pickled(specimen: Network) -> None:
    from matplotlib.figure import Figure

    renders = ph.render(specimen, ["gravel", "stage1:2"], size=32, steps=1, warm_up=0, progress=False)
    for result in (renders, ph.attribute(specimen, renders.images[:1, :32, :32], method="gradient")):
        figure: Any = result.plot()
        assert isinstance(figure, Figure) and isinstance(figure, figure_class())
        assert figure._repr_png_().startswith(b"\x89PNG") and result._repr_png_().startswith(b"\x89PNG")
        again = pickle.loads(pickle.dumps(figure))
        assert isinstance(again, Figure) and len(again.axes) == len(figure.axes)
