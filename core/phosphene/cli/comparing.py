"""Commands that compare models: parity, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    ImagesOption,
    InputSize,
    Model,
    Seed,
    Size,
    Steps,
    check_out,
    parse_target,
)
from phosphene.presets import preset_names

__all__ = ["compare", "parity"]


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


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="two or more, each as for render; the first is held against each of the others"),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="torch or jax: once for all models, or one a model; found from each where absent"),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="to be rendered for each, as for render; may be given more than once")
    ] = None,
    images: ImagesOption = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="to be compared over the images, several parted by commas: once for all, or one a model"),
    ] = None,
    units: Annotated[int | None, typer.Option(help="so many matched channels of two models are rendered too")] = None,
    size: Size = None,
    steps: Steps = None,
    preset: Annotated[str | None, typer.Option(help=", ".join(preset_names()))] = None,
    seed: Seed = 0,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="page to write, .html, or figure, .png, .svg or .pdf")] = Path(
        "out/compare.html"
    ),
) -> None:
    """Put models side by side: pictures of the same targets, and how alike their layers are over the same images."""
    import phosphene as ph

    check_out(out, ".html", *FIGURES)
    wanted: list[Any] = [objective for text in target or () for objective in parse_target(text)]
    backends = _one_a_model("backend", backend or [None], len(models))
    layers = _one_a_model("layer", [text.split(",") for text in layer], len(models)) if layer else None
    networks = [ph.load(name, backend=own, size=input_size) for name, own in zip(models, backends, strict=True)]
    found = ph.compare(
        networks, wanted or None, images=images, layers=layers, units=units, size=size, steps=steps, preset=preset,
        seed=seed,
    )  # fmt: skip
    found.save(out)
    typer.echo(f"{found!r}\n{out}")


def _one_a_model(name: str, given: list[Any], count: int) -> list[Any]:
    """What was given once for all models, or once for each."""
    from phosphene.errors import InvalidParameter

    if len(given) not in (1, count):
        raise InvalidParameter(
            name, allowed=f"one for all models, or {count}: one a model, in their order", received=given,
            fix=f"Write --{name} once, or once for each model.",
        )  # fmt: skip
    return given * count if len(given) == 1 else given
