"""Commands that begin with a photograph: dream, accentuate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    AnyBackend,
    InputSize,
    Model,
    Out,
    PhotographArgument,
    Seed,
    Weights,
    check_out,
    one_target,
    parse_target,
)

__all__ = ["accentuate", "dream"]


def dream(
    model: Model,
    image: PhotographArgument,
    targets: Annotated[
        list[str],
        typer.Argument(help="a layer (stage2:all), channels (stage2:5), a class (coins); several are added up"),
    ],
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Out = Path("out/dream.png"),
    size: Annotated[
        int | None,
        typer.Option(min=2, help="pixels a side to which the photograph is cut and resized; its own where absent"),
    ] = None,
    octaves: Annotated[int, typer.Option(help="sizes, the photograph's own last")] = 4,
    factor: Annotated[float, typer.Option(help="from one size to the next")] = 1.4,
    steps: Annotated[int, typer.Option(help="gradient evaluations an octave")] = 12,
    seed: Seed = 0,
) -> None:
    """Show the network more of what it sees in a photograph already, coarse patterns first."""
    import operator
    from functools import reduce

    import phosphene as ph
    from phosphene.cli.pictures import photograph
    from phosphene.files import check_result_path

    check_result_path(out)
    wanted = reduce(operator.add, [objective for text in targets for objective in parse_target(text)])
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    picture = photograph(image, size, network.input.channels)
    renders = ph.dream(network, picture, wanted, octaves=octaves, factor=factor, steps=steps, seed=seed)
    renders.save(out)
    typer.echo(f"{renders!r}\n{out}")


def accentuate(
    model: Model,
    image: PhotographArgument,
    target: Annotated[str, typer.Argument(help="a class (coins), a channel (stage2:5) or a neuron (stage2:5@2,3)")],
    layer: Annotated[str, typer.Option(help="path of the layer in which the picture stays near the photograph")],
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="figure to write, .png, .svg or .pdf")] = Path("out/accentuate.png"),
    size: Annotated[
        int | None,
        typer.Option(min=2, help="pixels a side to which the photograph is cut and resized; the model's where absent"),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="of the target; the smallest change that crosses it is told")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="of staying near, one a picture; may be given more than once")
    ] = None,
    steps: Annotated[int, typer.Option(help="gradient evaluations a picture")] = 64,
    seed: Seed = 0,
) -> None:
    """Move one unit from a photograph and stay near it: what the unit wants to see there."""
    import phosphene as ph
    from phosphene.cli.pictures import photograph

    check_out(out, *FIGURES)
    wanted = one_target(target)
    network = ph.load(model, backend=backend, weights=weights, size=input_size)
    picture = photograph(image, size or network.input.size, network.input.channels)
    held: dict[str, Any] = {"weights": weight} if weight else {}
    found = ph.accentuate(network, picture, wanted, layer=layer, threshold=threshold, steps=steps, seed=seed, **held)
    found.save(out)
    typer.echo(f"{found!r}\n{out}")
