"""Commands that make pictures from nothing or next to nothing: demo, render, invert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    check_out,
    parse_target,
)
from phosphene.presets import preset_names

__all__ = ["demo", "invert", "render"]

MODELS = "specimen, torchvision:NAME, timm:NAME, hf:NAME or folder, package.module:factory; or in the file of --config"


def demo(
    backend: Backend = "torch",
    out: Annotated[Path, typer.Option(help="folder of the page")] = Path("out/demo"),
    steps: Steps = None,
    atlas: Annotated[bool, typer.Option(help="build a small atlas beside it, which takes a minute or two")] = True,
) -> None:
    """Make one page that shows what the specimen sees: classes, channels, attributions, inversions, and a map."""
    from phosphene.demo import run_demo

    page = run_demo(backend, out, say=typer.echo, steps=steps, atlas=atlas)
    typer.echo(f"open {page}")


def render(
    model: Annotated[str | None, typer.Argument(help=MODELS)] = None,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="a class (coins), channels (stage3:5, stage3:0-15), a neuron (stage3:5@2,3)"),
    ] = None,
    backend: AnyBackend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path | None, typer.Option(help="file to write, .png or .npz; out/render.png where absent")] = None,
    size: Size = None,
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(help="of all draws; 0 where absent")] = None,
    preset: Annotated[str | None, typer.Option(help=", ".join(preset_names()))] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="a run as a .toml file; what is given beside it wins, and a preset over its [recipe]"),
    ] = None,
    save_config: Annotated[
        Path | None, typer.Option(help="file to write the run to, .toml, with its whole recipe")
    ] = None,
) -> None:
    """Find the images that excite targets most."""
    import phosphene as ph
    from phosphene import configuring
    from phosphene.files import check_result_path

    said: dict[str, dict[str, Any]] = {"model": {}, "run": {}, "recipe": {}}
    if config is not None:
        said = configuring.read_config(config)
    given: dict[str, Any] = {"name": model, "backend": backend, "weights": weights, "input_size": input_size}
    model_options = said["model"] | {key: value for key, value in given.items() if value is not None}
    given = {"targets": targets or None, "size": size, "steps": steps, "seed": seed, "preset": preset, "out": out}
    run: dict[str, Any] = {"seed": 0, "out": "out/render.png"} | said["run"]
    run |= {key: value for key, value in given.items() if value is not None}
    for missing in [
        name for name, known in (("MODEL", "name" in model_options), ("TARGETS", "targets" in run)) if not known
    ]:
        raise typer.BadParameter(f"Missing argument '{missing}', here or in a file for --config.")
    target = check_result_path(run["out"])
    if save_config is not None:
        check_out(save_config, ".toml")
        configuring.check_config({"model": model_options, "run": run | {"out": str(target)}})
    objectives = [objective for text in run["targets"] for objective in parse_target(text)]
    network = ph.load(
        model_options["name"], backend=model_options.get("backend"), weights=model_options.get("weights"),
        size=model_options.get("input_size"),
    )  # fmt: skip
    options = {key: value for key, value in run.items() if key not in ("targets", "out")}
    # A preset that is given is a whole recipe: the file's parts would undo it.
    recipe = said["recipe"] if preset is None else {}
    renders = ph.render(network, objectives, **options, **recipe)
    renders.save(target)
    typer.echo(f"{renders!r}\n{target}")
    if save_config is not None:
        made = renders.settings["run"]
        whole = run | {key: made[key] for key in ("preset", "size", "steps")} | {"out": str(target)}
        configuring.save_config(save_config, {"model": model_options, "run": whole, "recipe": made["recipe"]})
        typer.echo(f"{save_config}")


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
