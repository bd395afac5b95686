"""The command line: argument parsing over the public functions of the same names, a module a group."""

from __future__ import annotations

import sys

import typer

from phosphene.cli.atlases import atlas
from phosphene.cli.benching import bench
from phosphene.cli.comparing import compare, parity
from phosphene.cli.diagnosing import diagnose
from phosphene.cli.looks import activations, attribute, embed, layers, units
from phosphene.cli.photographs import accentuate, dream
from phosphene.cli.renders import demo, invert, render
from phosphene.cli.replaying import replay
from phosphene.cli.sheets import sheet
from phosphene.cli.trusting import quiz, trust

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


def main() -> None:
    """Run the command line; exit status 0, 1 (it failed) or 2 (bad usage)."""
    from phosphene.errors import InvalidParameter, PhospheneError

    try:
        app()
    except InvalidParameter as error:
        print(f"phosphene: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (PhospheneError, FileNotFoundError) as error:
        print(f"phosphene: {error}", file=sys.stderr)
        raise SystemExit(1) from None
