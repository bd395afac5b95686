"""The command that times: bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import InputSize, Model, Size, Weights, check_out

__all__ = ["bench"]


def bench(
    model: Model,
    layer: Annotated[
        str | None, typer.Option(help="path of the layer whose channels are maximised; the middle one where absent")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="pictures at a time; may be given more than once; 1, 8 and 32 where absent")
    ] = None,
    size: Size = None,
    steps: Annotated[int, typer.Option(help="steps timed in each run")] = 32,
    rounds: Annotated[int, typer.Option(help="runs of each combination, at least 3")] = 5,
    backend: Annotated[
        list[str] | None, typer.Option(help="torch, jax; may be given more than once; all where absent")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="cpu, cuda:0, gpu:0; may be given more than once; all kinds where absent")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float32, bfloat16, float16, float64; may be given more than once")
    ] = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path | None, typer.Option(help="file to write, .json; none where absent")] = None,
) -> None:
    """Time the steps of a render on each backend, device and precision, and say which is fastest."""
    import os

    # Two frameworks share this process and its devices: JAX may not take a GPU's memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import phosphene as ph

    if out is not None:
        check_out(out, ".json")
    options = {"weights": weights, "size": input_size}
    found = ph.bench(
        model, layer=layer, batches=batch or (1, 8, 32), size=size, steps=steps, rounds=rounds, backends=backend or None,
        devices=device or None, dtypes=dtype or None,
        options={name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    typer.echo(found.table())
    if out is not None:
        typer.echo(f"{found.save(out)}")
