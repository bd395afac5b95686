"""Commands that compare models: parity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import InputSize, Model, check_out

__all__ = ["parity"]


def parity(
    net_a: Model,
    net_b: Model,
    backend_a: Annotated[str | None, typer.Option(help="torch or jax; found from the model where absent")] = None,
    backend_b: Annotated[str | None, typer.Option(help="torch or jax; found from the model where absent")] = None,
    images: Annotated[
        str, typer.Option(help="a folder, a picture, a text file of paths, or photos:N[:SEED]")
    ] = "photos:8",
    tolerance: Annotated[float, typer.Option(help="largest relative difference that counts as equal")] = 1e-4,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="certificate to write, .json; the figure goes beside it")] = Path(
        "out/parity.json"
    ),
) -> None:
    """Compare two ports of one model layer by layer; exit status 1 if they part."""
    import phosphene as ph
    from phosphene.cli.pictures import read_images

    check_out(out, ".json")
    a = ph.load(net_a, backend=backend_a, size=input_size)
    b = ph.load(net_b, backend=backend_b, size=input_size)
    found = ph.parity(a, b, read_images(images, a.input.size, a.input.channels), tolerance=tolerance)
    found.save(out)
    figure = found.save(out.with_suffix(".png"))
    typer.echo(f"{found!r}\n{out}\n{figure}")
    if not found.equal:
        raise SystemExit(1)
