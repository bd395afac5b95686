"""Commands that render pictures: demo, render, sheet, dream, accentuate, invert, replay."""

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
    Layer,
    Model,
    Out,
    PhotographArgument,
    PhotographSize,
    Preset,
    Seed,
    Size,
    Steps,
    Weights,
    check_out,
    one_target,
    opened,
    parse_integers,
    parse_targets,
    say,
)

__all__ = ["accentuate", "demo", "dream", "invert", "render", "replay", "sheet"]


def demo(
    backend: Annotated[str, typer.Option(help="torch or jax.")] = "torch",
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("out/demo"),
    steps: Annotated[int | None, typer.Option(help="Gradient evaluations per picture.")] = None,
    atlas: Annotated[bool, typer.Option(help="Build a small atlas as well, which takes a minute or two.")] = True,
) -> None:
    """Write a demo page about the embedded network: classes, channels, attributions, inversions and an atlas."""
    from phosphene.demo import run_demo

    page = run_demo(backend, out, say=say, steps=steps, atlas=atlas)
    say(f"open {page}")


def render(
    model: Annotated[str | None, typer.Argument(help=f"Model (unless it is set in --config): {MODELS}.")] = None,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help=f"Targets (unless they are set in --config): {TARGETS}."),
    ] = None,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Annotated[Path | None, typer.Option(help="Output file, .png or .npz (default: out/render.png).")] = None,
    size: Size = None,
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(help="Random seed (default: 0).")] = None,
    start: Annotated[
        str | None,
        typer.Option(help=f"Image to start from in place of noise, or one image per target: {IMAGES}."),
    ] = None,
    preset: Preset = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Run configuration, .toml; other options take precedence, and --preset replaces its recipe."),
    ] = None,
    save_config: Annotated[
        Path | None, typer.Option(help="Write the run, with its whole recipe, to this .toml file.")
    ] = None,
) -> None:
    """Render the images that activate targets most (feature visualization)."""
    import phosphene as ph
    from phosphene.rendering import configuration

    said: dict[str, dict[str, Any]] = {"model": {}, "run": {}, "recipe": {}}
    if config is not None:
        said = configuration.read_config(config)
    given: dict[str, Any] = {"name": model, "backend": backend, "weights": weights, "input_size": input_size}
    model_options = said["model"] | {key: value for key, value in given.items() if value is not None}
    given = {"targets": targets or None, "size": size, "steps": steps, "seed": seed, "start": start}
    given |= {"preset": preset, "out": out}
    run: dict[str, Any] = {"seed": 0, "out": "out/render.png"} | said["run"]
    run |= {key: value for key, value in given.items() if value is not None}
    for missing in [
        name for name, known in (("MODEL", "name" in model_options), ("TARGETS", "targets" in run)) if not known
    ]:
        raise typer.BadParameter(f"Missing argument '{missing}': pass it, or set it in a file for --config.")
    target = ph.Renders.check_path(run["out"])
    if save_config is not None:
        check_out(save_config, ".toml")
        configuration.check_config({"model": model_options, "run": run | {"out": str(target)}})
    objectives = parse_targets(run["targets"])
    network = opened(
        model_options["name"],
        model_options.get("backend"),
        model_options.get("weights"),
        model_options.get("input_size"),
    )
    options = {key: value for key, value in run.items() if key not in ("targets", "out")}
    # --preset is a whole recipe, of which the file must not replace parts.
    recipe = said["recipe"] if preset is None else {}
    renders = ph.render(network, objectives, **options, **recipe)
    renders.save(target)
    say(f"{renders!r}\n{target}")
    if save_config is not None:
        made = renders.settings["run"]
        whole = run | {key: made[key] for key in ("preset", "size", "steps")} | {"out": str(target)}
        configuration.save_config(save_config, {"model": model_options, "run": whole, "recipe": made["recipe"]})
        say(f"{save_config}")


def invert(
    model: Model,
    image: PhotographArgument,
    layer: Layer,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    out: Out = Path("out/invert.png"),
    size: Annotated[int, typer.Option(help="Pixels per side to which the image is cropped and resized.")] = 96,
    steps: Annotated[int, typer.Option(help="Gradient evaluations.")] = 256,
    seed: Seed = 0,
) -> None:
    """Reconstruct an image from its activation in a layer."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared
    from phosphene.data.in_memory import read_photograph
    from phosphene.kit.checks import pair_of

    out = ph.Renders.check_path(out)
    given = declared(image, fit)
    network = opened(model, backend, weights, input_size)
    picture = read_photograph(given, network.input, size=pair_of("size", size))
    renders = ph.invert(network, picture, layer, steps=steps, seed=seed)
    renders.save(out)
    say(f"{renders!r}\n{out}")


def dream(
    model: Model,
    image: PhotographArgument,
    targets: Annotated[
        list[str],
        typer.Argument(help="Targets, which are summed: layer (stage2:all), channels (stage2:5) or class (coins)."),
    ],
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    out: Out = Path("out/dream.png"),
    size: PhotographSize = None,
    octaves: Annotated[int, typer.Option(help="Number of image sizes, from small to full size.")] = 4,
    factor: Annotated[float, typer.Option(help="Ratio between successive sizes.")] = 1.4,
    steps: Annotated[int, typer.Option(help="Gradient evaluations per size.")] = 12,
    seed: Seed = 0,
) -> None:
    """Amplify what a network sees in a photograph, coarse patterns first (DeepDream)."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = ph.Renders.check_path(out)
    given = declared(image, fit)
    wanted = parse_targets(targets)
    network = opened(model, backend, weights, input_size)
    renders = ph.dream(network, given, wanted, size=size, octaves=octaves, factor=factor, steps=steps, seed=seed)
    renders.save(out)
    say(f"{renders!r}\n{out}")


def accentuate(
    model: Model,
    image: PhotographArgument,
    target: Annotated[str, typer.Argument(help="Target: class (coins), channel (stage2:5) or neuron (stage2:5@2,3).")],
    layer: Annotated[str, typer.Option(help="Layer in whose activations the picture stays close to the photograph.")],
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    out: Annotated[Path, typer.Option(help="Output figure, .png, .svg or .pdf.")] = Path("out/accentuate.png"),
    size: Annotated[
        int | None,
        typer.Option(
            min=2, help="Pixels per side to which the image is cropped and resized (default: the input size)."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Threshold of the target; the smallest change that crosses it is reported.")
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of the distance to the photograph, one picture per weight; can be repeated."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradient evaluations per picture.")] = 64,
    seed: Seed = 0,
) -> None:
    """Change a photograph slightly to activate a unit more (feature accentuation)."""
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    out = check_out(out, *FIGURES)
    given = declared(image, fit)
    wanted = one_target(target)
    network = opened(model, backend, weights, input_size)
    held: dict[str, Any] = {"weights": weight} if weight else {}
    found = ph.accentuate(
        network, given, wanted, layer=layer, size=size, threshold=threshold, steps=steps, seed=seed, **held
    )
    found.save(out)
    say(f"{found!r}\n{out}")


def sheet(
    model: Model,
    layer: Annotated[str, typer.Argument(help="Path of the layer.")],
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    fit: Fit = None,
    column: Column = None,
    out: Annotated[Path, typer.Option(help="Output folder; an interrupted run is resumed.")] = Path("out/sheet"),
    images: ImagesOption = None,
    channels: Annotated[str | None, typer.Option(help="Channels, such as 0-15,20 (default: all).")] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Assess each picture by comparison with --images; takes twice as long."),
    ] = False,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = 0,
    preset: Preset = None,
    batch: Annotated[int, typer.Option(help="Units per batch; halved if memory is insufficient.")] = 32,
) -> None:
    """Render every unit of a layer, and write one page to search, sort and filter the pictures.

    With --images, units that are dead on all images are left out, and each picture is shown next to the images that activate
    its unit most.
    """
    import phosphene as ph
    from phosphene.cli.image_arguments import declared

    page = check_out(out / "index.html", ".html")
    out = page.parent
    wanted = None if channels is None else parse_integers("channels", channels)
    given = None if images is None else declared(images, fit, column)
    network = opened(model, backend, weights, input_size)
    recipe: dict[str, Any] = {"steps": steps, "preset": preset}
    found = ph.render_all(
        network,
        layer,
        out,
        images=given,
        channels=wanted,
        trust=trust,
        size=size,
        seed=seed,
        batch=batch,
        **{name: value for name, value in recipe.items() if value is not None},
    )
    say(f"{found!r}")
    for index, reason in found.settings["said"].items():
        say(f"  not shown: {layer} : {index}, {reason}")
    say(page)


def replay(
    picture: Annotated[Path, typer.Argument(help="A .png or .npz file that phosphene wrote.")],
    model: Annotated[
        str | None,
        typer.Option(help=f"Model of the picture; required unless it is included in phosphene: {MODELS}."),
    ] = None,
    backend: Backend = None,
    weights: Weights = None,
    input_size: InputSize = None,
    out: Out = Path("out/replay.png"),
) -> None:
    """Render a picture again from its file, without importing or running code that the file names."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter
    from phosphene.rendering.replays import replay as again

    out = ph.Renders.check_path(out)
    if model is None:
        for name, given in (("--weights", weights), ("--input-size", input_size)):
            if given is not None:
                raise InvalidParameter(name, allowed="None without --model", received=given, fix="Add --model NAME.")
        renders = again(picture, backend=backend)
    else:
        renders = again(picture, network=opened(model, backend, weights, input_size))
    renders.save(out)
    say(f"{renders!r}\n{out}")
