"""The commands of an activation atlas: atlas build, atlas view, atlas report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import AnyBackend, InputSize, Model, OnError, Seed, Weights, check_out

__all__ = ["atlas"]

atlas = typer.Typer(help="Build an activation atlas, and walk through it.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="folder of an atlas")]


@atlas.command()
def build(
    model: Model,
    data: Annotated[str, typer.Option(help="a folder, a text file of paths, or photos:N[:SEED]")],
    layers: Annotated[str, typer.Option(help="paths of layers, in the order of the network, such as stage2,stage3")],
    out: Annotated[Path, typer.Option(help="folder to write; called again, it goes on where it was stopped or killed")],
    levels: Annotated[
        str | None, typer.Option(help="cells along a side, coarse to fine, such as 10,20,40; by the data where absent")
    ] = None,
    positions: Annotated[int, typer.Option(help="positions an image")] = 1,
    seed: Seed = 0,
    count: Annotated[int | None, typer.Option(help="images, where fewer than all")] = None,
    icons: Annotated[bool, typer.Option(help="invert each cell to a picture")] = True,
    patches: Annotated[bool, typer.Option(help="keep the real patches behind each cell")] = True,
    workers: Annotated[int, typer.Option(min=0, help="threads that read images; 0 is none")] = 0,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    on_error: OnError = "raise",
) -> None:
    """Map what layers see: activations of many images, laid out, cut into cells, each with a picture and a label."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import ExitStack

    import phosphene as ph
    from phosphene.atlas import BuildSettings, IconSettings, PatchSettings
    from phosphene.data.places import source_at

    wanted = _numbers(levels) if levels else None
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    source = source_at(data, network.input.size, network.input.channels)
    settings = BuildSettings(icons=IconSettings() if icons else None, patches=PatchSettings() if patches else None)
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(workers)) if workers else None
        found = ph.Atlas.build(
            network, source, [part.strip() for part in layers.split(",") if part.strip()], out, levels=wanted,
            positions=positions, seed=seed, count=count, settings=settings, executor=executor, on_error=on_error,
        )  # fmt: skip
    typer.echo(f"{found!r}")
    typer.echo(out)


@atlas.command()
def view(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="page to write")] = Path("out/atlas.html"),
    layers: Annotated[
        str | None, typer.Option(help="some of its layers, such as stage2,stage3; all where absent")
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER of an atlas of the same images, such as another model's; repeatable"),
    ] = None,
    max_mb: Annotated[
        float, typer.Option(help="size of the page at most; what is more lies in files beside it")
    ] = 25.0,
) -> None:
    """Write an atlas as one page to walk through, that needs no network, no server and no GPU."""
    import phosphene as ph

    check_out(out, ".html")
    wanted = None if layers is None else [part.strip() for part in layers.split(",") if part.strip()]
    others = {name: ph.Atlas.open(place) for name, place in map(_named, beside or ())}
    typer.echo(ph.Atlas.open(folder).view(out, layers=wanted, beside=others, max_mb=max_mb))


@atlas.command()
def report(
    folder: Folder, out: Annotated[Path, typer.Option(help="page to write")] = Path("out/atlas-report.html")
) -> None:
    """Write one page with the maps, and with the figures that say how far to trust them."""
    import phosphene as ph

    check_out(out, ".html")
    typer.echo(ph.Atlas.open(folder).report(out))


def _named(text: str) -> tuple[str, str]:
    from phosphene.errors import InvalidParameter

    name, separator, folder = text.partition("=")
    if not name or not separator or not folder:
        raise InvalidParameter("beside", allowed="NAME=FOLDER", received=text, fix="For example other=out/other-atlas.")
    return name, folder


def _numbers(text: str) -> list[int]:
    from phosphene.errors import InvalidParameter

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidParameter("levels", allowed="whole numbers", received=text, fix="For example 10,20,40.") from None
