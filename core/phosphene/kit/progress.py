"""Progress reports: to a callback, to a bar in a terminal or notebook, to the log elsewhere, or to nobody."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from phosphene.errors import InvalidParameter
from phosphene.words import plain_name

__all__ = ["Progress", "Teller", "check_progress", "reporter"]

LOG = logging.getLogger("phosphene.progress")

EVERY = 30.0
"""Seconds between two lines where there is no terminal or notebook."""

REDRAWN = 0.5
"""Seconds between two states of a line of text that is drawn over in a notebook."""


@dataclass(frozen=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    done, total : int
        Units of work finished, and in total (when rendering: steps times targets).
    unit : str
        Name of the unit of work, in the plural.
    seconds : float
        Time since the start.
    message : str
        Additional text.
    """

    done: int
    total: int
    unit: str
    seconds: float
    message: str = ""

    @property
    def rate(self) -> float:
        """Units per second; 0 at the start."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        """Estimated remaining time at the rate so far; infinite before the first unit."""
        return (self.total - self.done) / self.rate if self.rate > 0 else float("inf")


Teller = Callable[[Progress], "bool | None"]


def check_progress(progress: object) -> None:
    """Raise `InvalidParameter` unless `progress` is what `reporter` takes, before any work."""
    if callable(progress) and not isinstance(progress, type):
        if not _takes_one(progress):
            raise InvalidParameter(
                "progress",
                allowed="a function of one argument, the phosphene.Progress",
                received=progress,
                fix="For example progress=lambda state: print(state.done).",
            )
    elif progress is not None and not isinstance(progress, bool):
        raise InvalidParameter(
            "progress",
            allowed="a function, True, False or None",
            received=progress,
            fix="For example progress=False for no bar.",
        )


def reporter(progress: Teller | bool | None, title: str, total: int) -> AbstractContextManager[Teller]:
    """Make a context that yields the function to call with each `Progress`.

    Parameters
    ----------
    progress : callable, bool or None
        A function to call, False for none, or True or None for a bar in a terminal or notebook. Elsewhere a line is logged every
        half minute, under ``phosphene.progress`` at the level INFO; with True it is written to the standard error stream if
        that level is not logged.
    title : str
        Title of the bar.
    total : int
        Units of work in total.

    Raises
    ------
    InvalidParameter
        When `progress` is anything else.
    """
    check_progress(progress)
    if callable(progress):
        return _plain(progress)
    if progress is False:
        return _plain(lambda state: None)
    if _in_notebook():
        # Bars of a notebook are widgets; without them text is drawn over in place.
        return _bar(title, total) if importlib.util.find_spec("ipywidgets") else _redrawn(title)
    if sys.stderr is not None and sys.stderr.isatty():
        return _bar(title, total)
    return _plain(_Lines(title, aloud=progress is True))


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with one argument, as far as its signature is known."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # functions of C code may have no signature
        pass
    return True


@contextmanager
def _plain(tell: Teller) -> Iterator[Teller]:
    yield tell


@contextmanager
def _bar(title: str, total: int) -> Iterator[Teller]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),  # names may have square brackets
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(plain_name(title), total=total, rate="")

        def tell(state: Progress) -> None:
            rate = f"{state.rate:,.0f} {state.unit}/s {plain_name(state.message)}"
            bar.update(task, completed=state.done, total=state.total, rate=rate)

        yield tell


class _Lines:
    """Tells the progress in a line every `EVERY` seconds; a short run is not told of."""

    def __init__(self, title: str, *, aloud: bool) -> None:
        self.title, self.aloud, self.last = title, aloud, time.monotonic()

    def __call__(self, state: Progress) -> None:
        if time.monotonic() - self.last < EVERY:
            return
        self.last = time.monotonic()
        if LOG.isEnabledFor(logging.INFO):
            LOG.info("%s", _line(self.title, state))
        elif self.aloud:
            _write(f"{_line(self.title, state)}\n")


@contextmanager
def _redrawn(title: str) -> Iterator[Teller]:
    last = -REDRAWN
    widest = 0

    def tell(state: Progress) -> None:
        nonlocal last, widest
        if time.monotonic() - last < REDRAWN and state.done < state.total:
            return
        last, text = time.monotonic(), _line(title, state)
        widest = max(widest, len(text))
        _write(f"\r{text:<{widest}}")

    try:
        yield tell
    finally:
        if widest:
            _write(f"\r{'':<{widest}}\r")


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _line(title: str, state: Progress) -> str:
    """Such as ``render: 34%, 1,200 of 3,500 steps, about 3 min left``."""
    share = f"{100 * state.done / state.total:.0f}%, " if state.total > 0 else ""
    left = state.seconds_left
    rest = "" if not 0 < left < float("inf") else f", about {_duration(left)} left"
    message = f" ({plain_name(state.message)})" if state.message else ""
    return f"{plain_name(title)}: {share}{state.done:,} of {state.total:,} {state.unit}{rest}{message}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
