"""The command that makes a picture again: replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import AnyBackend, InputSize, Weights

__all__ = ["replay"]


def replay(
    picture: Annotated[Path, typer.Argument(help="a .png or .npz that phosphene wrote")],
    model: Annotated[
        str | None,
        typer.Option(help="the network it is of, as for render; needed unless it is one that comes with phosphene"),
    ] = None,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="file to write, .png or .npz")] = Path("out/replay.png"),
) -> None:
    """Make a picture again from its own file; of what that names, nothing is imported or run."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter
    from phosphene.files import check_result_path
    from phosphene.replaying import replay as again

    check_result_path(out)
    if model is None:
        for name, given in (("--weights", weights), ("--input-size", input_size)):
            if given is not None:
                raise InvalidParameter(name, allowed="none without --model", received=given, fix="Add --model NAME.")
        renders = again(picture, backend=backend)
    else:
        renders = again(picture, network=ph.load(model, backend=backend, weights=weights, size=input_size))
    renders.save(out)
    typer.echo(f"{renders!r}\n{out}")
