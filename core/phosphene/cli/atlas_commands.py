"""Commands for activation atlases: atlas build, atlas view, atlas report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import (
    IMAGES,
    Backend,
    Column,
    Fit,
    InputSize,
    Model,
    OnError,
    Seed,
    Weights,
    check_out,
    opened,
    parse_integers,
    say,
    split,
)

__all__ = ["atlas"]

atlas = typer.Typer(help="Build and explore an activation atlas.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the atlas.")]


@atlas.command()
def build(
    model: Model,
    data: Annotated[str, typer.Option(help=f"Images: {IMAGES}.")],
    layers: Annotated[str, typer.Option(help="Paths of layers in forward order, such as stage2,stage3.")],
    out: Annotated[Path, typer.Option(help="Output folder; an interrupted build is resumed.")],
    levels: Annotated[
        str | None, typer.Option(help="Cells per side, coarse to fine, such as 10,20,40 (default: chosen by the data).")
    ] = None,
    positions: Annotated[int, typer.Option(help="Positions per image.")] = 1,
    seed: Seed = 0,
    count: Annotated[int | None, typer.Option(help="Number of images (default: all).")] = None,
    icons: Annotated[bool, typer.Option(help="Render a picture of each cell.")] = True,
    patches: Annotated[bool, typer.Option(help="Keep the image patches of each cell.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Threads that read images; 0 for none.")] = 0,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    on_error: OnError = "raise",
) -> None:
    """Build an atlas: activations of many images on a map, in cells with a picture and a label each."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import ExitStack

    import phosphene as ph
    from phosphene.atlas import BuildSettings, IconSettings, PatchSettings
    from phosphene.cli.image_arguments import declared

    wanted = parse_integers("levels", levels) if levels else None
    given = declared(data, fit, column)
    network = opened(model, backend, weights, input_size)
    settings = BuildSettings(icons=IconSettings() if icons else None, patches=PatchSettings() if patches else None)
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(workers)) if workers else None
        found = ph.Atlas.build(
            network,
            given,
            split(layers),
            out,
            levels=wanted,
            positions=positions,
            seed=seed,
            count=count,
            settings=settings,
            executor=executor,
            on_error=on_error,
        )
    say(f"{found!r}")
    say(found.folder)


@atlas.command()
def view(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Output page, .html.")] = Path("out/atlas.html"),
    layers: Annotated[str | None, typer.Option(help="Layers to show, such as stage2,stage3 (default: all).")] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FOLDER of another atlas of the same images, for example of another model; can be repeated."
        ),
    ] = None,
    max_mb: Annotated[
        float, typer.Option(help="Largest size of the page in MB; further data are written to files next to it.")
    ] = 25.0,
) -> None:
    """Write an atlas as one interactive page that works offline."""
    import phosphene as ph

    out = check_out(out, ".html")
    wanted = None if layers is None else split(layers)
    others = {name: ph.Atlas.open(place) for name, place in map(_named, beside or ())}
    say(ph.Atlas.open(folder).view(out, layers=wanted, beside=others, max_mb=max_mb))


@atlas.command()
def report(
    folder: Folder, out: Annotated[Path, typer.Option(help="Output page, .html.")] = Path("out/atlas-report.html")
) -> None:
    """Write one page with the maps and measures of their quality."""
    import phosphene as ph

    out = check_out(out, ".html")
    say(ph.Atlas.open(folder).report(out))


def _named(text: str) -> tuple[str, str]:
    from phosphene.errors import InvalidParameter

    name, separator, folder = text.partition("=")
    if not name or not separator or not folder:
        raise InvalidParameter("beside", allowed="NAME=FOLDER", received=text, fix="For example other=out/other-atlas.")
    return name, folder
