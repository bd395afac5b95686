"""Commands that make pictures from nothing or next to nothing: demo, render, invert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phosphene.cli.options import (
    AnyBackend,
    Backend,
    InputSize,
    Model,
    Out,
    Seed,
    Size,
    Steps,
    Weights,
    parse_target,
)

__all__ = ["demo", "invert", "render"]


def demo(
    backend: Backend = "torch",
    out: Annotated[Path, typer.Option(help="folder of the page")] = Path("out/demo"),
    steps: Steps = None,
) -> None:
    """Make one page that shows what the specimen sees: classes, channels, attributions, inversions."""
    from phosphene.demo import run_demo

    page = run_demo(backend, out, say=typer.echo, steps=steps)
    typer.echo(f"open {page}")


def render(
    model: Model,
    targets: Annotated[
        list[str], typer.Argument(help="a class (coins), channels (stage3:5, stage3:0-15), a neuron (stage3:5@2,3)")
    ],
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Out = Path("out/render.png"),
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    preset: Annotated[str | None, typer.Option(help="default, lucid or plain")] = None,
) -> None:
    """Find the images that excite targets most."""
    import phosphene as ph
    from phosphene.files import check_result_path

    check_result_path(out)
    objectives = [objective for text in targets for objective in parse_target(text)]
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    renders = ph.render(network, objectives, size=size, steps=steps, seed=seed, preset=preset)
    renders.save(out)
    typer.echo(f"{renders!r}\n{out}")


def invert(
    model: Model,
    image: Annotated[Path, typer.Argument(help="a picture file")],
    layer: Annotated[str, typer.Option(help="path of the layer")],
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Out = Path("out/invert.png"),
    size: Annotated[int, typer.Option(help="pixels a side to which the picture is cut and resized")] = 96,
    steps: Annotated[int, typer.Option(help="gradient evaluations")] = 256,
    seed: Seed = 0,
) -> None:
    """Rebuild an image from a layer's activation."""
    import phosphene as ph
    from phosphene.files import check_result_path, read_image

    check_result_path(out)
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    renders = ph.invert(network, read_image(image, size), layer, steps=steps, seed=seed)
    renders.save(out)
    typer.echo(f"{renders!r}\n{out}")
