"""The command line: argument parsing for the public functions of the same names."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from phosphene.cli.atlas_commands import atlas
from phosphene.cli.comparison_commands import bench, compare, parity
from phosphene.cli.layer_commands import activations, attribute, diagnose, embed, layers, units
from phosphene.cli.render_commands import accentuate, demo, dream, invert, render, replay, sheet
from phosphene.cli.trust_commands import quiz, trust

__all__ = ["app", "main"]

app = typer.Typer(
    help="See what a neural network sees.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for command in (
    *(demo, layers, diagnose, activations, units, embed, attribute),
    *(render, sheet, dream, accentuate, invert, replay),
    *(trust, quiz),
    *(compare, parity, bench),
):
    app.command()(command)
app.add_typer(atlas, name="atlas")


@contextmanager
def _progress_logged() -> Iterator[None]:
    """A context in which lines of progress, of which there are any only without a terminal, go to the standard error stream."""
    lines = logging.getLogger("phosphene.progress")
    handler, level, propagate = logging.StreamHandler(), lines.level, lines.propagate
    handler.setFormatter(logging.Formatter("phosphene: %(message)s"))
    lines.addHandler(handler)
    lines.setLevel(logging.INFO)
    lines.propagate = False
    try:
        yield
    finally:
        lines.removeHandler(handler)
        lines.setLevel(level)
        lines.propagate = propagate


@contextmanager
def _all_printable() -> Iterator[None]:
    """A context in which characters that the output cannot hold are written as escapes, as in the standard error stream.

    Names of files need not be text in any encoding.
    """
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


def main() -> None:
    """Run the command line. The exit status is 0, 1 (the command failed) or 2 (invalid usage)."""
    from phosphene.errors import InvalidParameter, PhospheneError
    from phosphene.words import plain_message

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that does not know a letter gets its escape instead of an end of the run.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _progress_logged(), _all_printable():
            app()
    except InvalidParameter as error:
        print(plain_message(f"phosphene: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
    except (PhospheneError, FileNotFoundError) as error:
        print(plain_message(f"phosphene: {error}"), file=sys.stderr)
        raise SystemExit(1) from None
