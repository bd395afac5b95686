"""Progress reports: to a callback, to a bar in a terminal or notebook, or to nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from phosphene.errors import InvalidParameter

__all__ = ["Progress", "Teller", "reporter"]


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


def reporter(progress: Teller | bool | None, title: str, total: int) -> AbstractContextManager[Teller]:
    """Make a context that yields the function to call with each `Progress`.

    Parameters
    ----------
    progress : callable, bool or None
        A function to call, True for a bar, False for none, or None for a bar in a terminal or notebook only.
    title : str
        Title of the bar.
    total : int
        Units of work in total.

    Raises
    ------
    InvalidParameter
        When `progress` is anything else.
    """
    if callable(progress):
        return _plain(progress)
    if progress is not None and not isinstance(progress, bool):
        raise InvalidParameter(
            "progress",
            allowed="a function, True, False or None",
            received=progress,
            fix="For example progress=False for no bar.",
        )
    if progress or (progress is None and _watched()):
        return _bar(title, total)
    return _plain(lambda state: None)


@contextmanager
def _plain(tell: Teller) -> Iterator[Teller]:
    yield tell


@contextmanager
def _bar(title: str, total: int) -> Iterator[Teller]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, rate="")

        def tell(state: Progress) -> None:
            bar.update(task, completed=state.done, rate=f"{state.rate:,.0f} {state.unit}/s {state.message}")

        yield tell


def _watched() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
