"""The command that makes a picture of every unit of a layer: sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import AnyBackend, ImagesOption, InputSize, Model, Seed, Size, Steps, Weights, check_out
from phosphene.presets import preset_names

__all__ = ["sheet"]


def sheet(
    model: Model,
    layer: Annotated[str, typer.Argument(help="path of the layer")],
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[
        Path, typer.Option(help="folder to write; called again, it goes on where it was stopped or killed")
    ] = Path("out/sheet"),
    images: ImagesOption = None,
    channels: Annotated[str | None, typer.Option(help="which, such as 0-15,20; all where absent")] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="say how far each picture can be trusted, against --images; takes twice as long"),
    ] = False,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    preset: Annotated[str | None, typer.Option(help=", ".join(preset_names()))] = None,
    batch: Annotated[int, typer.Option(help="units computed side by side; halved where memory does not suffice")] = 32,
) -> None:
    """Make a picture of every unit of a layer, and one page to search, sort and filter them.

    With --images, units that are dead on all of them are left out, and each picture stands beside what excites its unit most.
    """
    import phosphene as ph
    from phosphene.data.places import source_at

    page = out / "index.html"
    check_out(page, ".html")
    wanted = None if channels is None else _numbers(channels)
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    source = None if images is None else source_at(images, network.input.size, network.input.channels)
    recipe: dict[str, Any] = {"steps": steps, "preset": preset}
    found = ph.render_all(
        network, layer, out, images=source, channels=wanted, trust=trust, size=size, seed=seed, batch=batch,
        **{name: value for name, value in recipe.items() if value is not None},
    )  # fmt: skip
    typer.echo(f"{found!r}")
    for index, reason in found.settings["said"].items():
        typer.echo(f"  not shown: {layer} : {index}, {reason}")
    typer.echo(page)


def _numbers(text: str) -> list[int]:
    """Channels as they are written: ``0-15,20``."""
    import re

    from phosphene.errors import InvalidParameter

    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if ends is None:
            raise InvalidParameter(
                "channels", allowed="numbers and ranges of them", received=text, fix="For example 0-15,20."
            )
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return found
