"""Commands that compare networks or devices: compare, parity, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phosphene.cli.options import (
    FIGURES,
    IMAGES,
    MODELS,
    TARGETS,
    Backend,
    Column,
    Fit,
    ImagesOption,
    InputSize,
    Model,
    Preset,
    Seed,
    Size,
    Steps,
    Weights,
    check_out,
    loading,
    opened,
    parse_targets,
    say,
    split,
)

__all__ = ["bench", "compare", "parity"]


def parity(
    net_a: Model,
    net_b: Model,
    backend_a: Backend = None,
    backend_b: Backend = None,
    images: Annotated[str, typer.Option(help=f"Images: {IMAGES}.")] = "photos:8",
    fit: Fit = None,
    column: Column = None,
    tolerance: Annotated[float, typer.Option(help="Largest relative difference that counts as equal.")] = 1e-4,
    input_size: InputSize = None,
    out: Annotated[
        Path, typer.Option(help="Output certificate, .json; the figure (.png) is written next to it.")
    ] = Path("out/parity.json"),
) -> None:
    """Compare two ports of a model layer by layer; the exit status is 1 if they differ."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = check_out(out, ".json")
    given = declared(images, fit, column)
    a = opened(net_a, backend_a, None, input_size)
    b = opened(net_b, backend_b, None, input_size)
    found = ph.parity(a, b, given, tolerance=tolerance)
    found.save(out)
    figure = found.save(out.with_suffix(".png"))
    say(f"{found!r}\n{out}\n{figure}")
    if not found.equal:
        raise SystemExit(1)


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help=f"Two or more models; the first is compared with each of the others. Each: {MODELS}."),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="torch or jax, once for all models or once per model (default: found from the models)."),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help=f"Target to render for each model; can be repeated: {TARGETS}.")
    ] = None,
    images: ImagesOption = None,
    fit: Fit = None,
    column: Column = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layers to compare over the images, separated by commas, once for all models or once per model."
        ),
    ] = None,
    units: Annotated[int | None, typer.Option(help="Number of matched channels to render for both models.")] = None,
    size: Size = None,
    steps: Steps = None,
    preset: Preset = None,
    seed: Seed = 0,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="Output page, .html, or figure, .png, .svg or .pdf.")] = Path(
        "out/compare.html"
    ),
) -> None:
    """Compare models: pictures of the same targets, and the similarity of layers over the same images."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = check_out(out, ".html", *FIGURES)
    wanted = parse_targets(target)
    given = None if images is None else declared(images, fit, column)
    backends = _one_per_model("backend", backend or [None], len(models))
    layers = _one_per_model("layer", [split(text) for text in layer], len(models)) if layer else None
    networks = [opened(name, own, None, input_size) for name, own in zip(models, backends, strict=True)]
    found = ph.compare(
        networks,
        wanted or None,
        images=given,
        layers=layers,
        units=units,
        size=size,
        steps=steps,
        preset=preset,
        seed=seed,
    )
    found.save(out)
    say(f"{found!r}\n{out}")


def _one_per_model(name: str, given: list[Any], count: int) -> list[Any]:
    """Return one item per model from one item for all models, or one per model."""
    from phosphene.kit.checks import one_per

    return given * count if len(one_per(name, given, count, "model", single=True)) == 1 else given


def bench(
    model: Model,
    layer: Annotated[
        str | None, typer.Option(help="Path of the layer whose channels are maximised (default: a middle layer).")
    ] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Batch size; can be repeated (default: 1, 8 and 32).")] = None,
    size: Size = None,
    steps: Annotated[int, typer.Option(help="Steps timed in each run.")] = 32,
    rounds: Annotated[int, typer.Option(help="Runs of each combination, at least 3.")] = 5,
    backend: Annotated[list[str] | None, typer.Option(help="torch or jax; can be repeated (default: all).")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Device, such as cpu, cuda:0 or gpu:0; can be repeated (default: one of each kind)."),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="float32, bfloat16, float16 or float64; can be repeated (default: the first three)."),
    ] = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path | None, typer.Option(help="Output file, .json (default: none).")] = None,
) -> None:
    """Time the steps of a render on each backend, device and precision."""
    import os

    # JAX would reserve most of a GPU's memory, which two frameworks share here.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import phosphene as ph

    if out is not None:
        out = check_out(out, ".json")
    options = {"weights": weights, "size": input_size}
    with loading(model, input_size):
        found = ph.bench(
            model,
            layer=layer,
            batches=batch or (1, 8, 32),
            size=size,
            steps=steps,
            rounds=rounds,
            backends=backend or None,
            devices=device or None,
            dtypes=dtype or None,
            options={name: value for name, value in options.items() if value is not None},
        )
    say(found.table())
    if out is not None:
        say(f"{found.save(out)}")
