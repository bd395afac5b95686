"""Progress of long work: a callback of the user's, a bar in a terminal or notebook, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from phosphene.ascent import Progress
from phosphene.errors import InvalidParameter

__all__ = ["Teller", "reporter"]

Teller = Callable[[Progress], "bool | None"]


def reporter(progress: Teller | bool | None, title: str, total: int) -> AbstractContextManager[Teller]:
    """A context that yields the function to call with each `Progress`.

    Parameters
    ----------
    progress : callable, bool or None
        What the user gave: a function is called as it is; True and False force a bar or none; None decides by whether
        anybody is watching.
    title : str
        Name of the work.
    total : int
        Units of work.

    Raises
    ------
    InvalidParameter
        When `progress` is none of these.
    """
    if callable(progress):
        return _plain(progress)
    if progress is not None and not isinstance(progress, bool):
        raise InvalidParameter(
            "progress", allowed="a function, True, False or None", received=progress, fix="progress=False"
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
