"""The command line: argument parsing over the public functions of the same names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="See what a neural network sees.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

Backend = Annotated[str, typer.Option(help="torch or jax")]
AnyBackend = Annotated[str | None, typer.Option("--backend", help="torch or jax; found from the model where absent")]
Weights = Annotated[
    str | None, typer.Option(help="random, or a .safetensors or .pt file; the published ones where absent")
]
InputSize = Annotated[int | None, typer.Option(help="pixels a side that the model takes; needed for a factory")]
Out = Annotated[Path, typer.Option(help="file to write, .png or .npz")]
Size = Annotated[int | None, typer.Option(help="pixels a side")]
Steps = Annotated[int | None, typer.Option(help="gradient evaluations a picture")]
Seed = Annotated[int, typer.Option(help="of all draws")]
Model = Annotated[
    str, typer.Argument(help="specimen, torchvision:NAME, timm:NAME, hf:NAME or folder, package.module:factory")
]


def main() -> None:
    """Run the command line; exit status 0, 1 (it failed) or 2 (bad usage)."""
    from phosphene.errors import InvalidParameter, PhospheneError

    try:
        app()
    except InvalidParameter as error:
        print(f"phosphene: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (PhospheneError, FileNotFoundError) as error:
        print(f"phosphene: {error}", file=sys.stderr)
        raise SystemExit(1) from None


@app.command()
def demo(
    backend: Backend = "torch",
    out: Annotated[Path, typer.Option(help="folder of the page")] = Path("out/demo"),
    steps: Steps = None,
) -> None:
    """Make one page that shows what the specimen sees: classes, channels, inversions."""
    from phosphene.demo import run_demo

    page = run_demo(backend, out, say=typer.echo, steps=steps)
    typer.echo(f"open {page}")


@app.command()
def layers(model: Model, backend: AnyBackend = None, weights: Weights = None, input_size: InputSize = None) -> None:
    """List what can be read: path, kind, shape, parameters."""
    import phosphene as ph

    typer.echo(repr(ph.load(model, backend=backend, weights=weights, size=input_size).layers))


@app.command()
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


@app.command()
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


@app.command()
def parity(
    net_a: Model,
    net_b: Model,
    backend_a: Annotated[str | None, typer.Option(help="torch or jax; found from the model where absent")] = None,
    backend_b: Annotated[str | None, typer.Option(help="torch or jax; found from the model where absent")] = None,
    images: Annotated[str, typer.Option(help="a folder of pictures, or photos:N[:SEED]")] = "photos:8",
    tolerance: Annotated[float, typer.Option(help="largest relative difference that counts as equal")] = 1e-4,
    input_size: InputSize = None,
    out: Annotated[Path, typer.Option(help="certificate to write, .json; the figure goes beside it")] = Path(
        "out/parity.json"
    ),
) -> None:
    """Compare two ports of one model layer by layer; exit status 1 if they part."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter
    from phosphene.files import check_writable

    if out.suffix != ".json":
        raise InvalidParameter("out", allowed="a name that ends in .json", received=str(out))
    check_writable(out)
    a = ph.load(net_a, backend=backend_a, size=input_size)
    b = ph.load(net_b, backend=backend_b, size=input_size)
    found = ph.parity(a, b, read_images(images, a.input.size), tolerance=tolerance)
    found.save(out)
    figure = found.save(out.with_suffix(".png"))
    typer.echo(f"{found!r}\n{out}\n{figure}")
    if not found.equal:
        raise SystemExit(1)


def read_images(source: str, size: tuple[int, int]) -> Any:
    """Images ``(N, H, W, 3)``: the central squares of the pictures in a folder, or ``photos:N``."""
    import numpy as np

    from phosphene.data import parse
    from phosphene.errors import InvalidParameter
    from phosphene.files import read_image

    if size[0] != size[1]:
        raise InvalidParameter("images", allowed="a network of square images", received=size, fix="Use ph.parity.")
    if not Path(source).is_dir():
        return parse(source, size=size[0]).images()
    endings = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
    paths = sorted(path for path in Path(source).iterdir() if path.suffix.lower() in endings)
    if not paths:
        raise InvalidParameter("images", allowed=f"a folder with pictures ({', '.join(endings)})", received=source)
    return np.stack([read_image(path, size[0]) for path in paths])


def parse_target(text: str) -> list[Any]:
    """Objectives from a target as it is written on the command line."""
    import phosphene as ph
    from phosphene.errors import InvalidParameter

    if ":" not in text:
        return [ph.logit(int(text) if text.isdigit() else text)]
    found = re.fullmatch(r"(.+):(\d+)(?:-(\d+))?(?:@(centre|\d+(?:,\d+)*))?", text)
    if found is None:
        raise InvalidParameter(
            "target", allowed="CLASS, LAYER:CHANNEL, LAYER:FIRST-LAST or LAYER:CHANNEL@ROW,COLUMN", received=text,
            fix="For example stage3:0-15.",
        )  # fmt: skip
    layer, first, last, place = found.groups()
    channels = range(int(first), int(last or first) + 1)
    if place is None:
        return [ph.channel(layer, index) for index in channels]
    at = None if place == "centre" else tuple(int(index) for index in place.split(","))
    return [ph.neuron(layer, index, at) for index in channels]


if __name__ == "__main__":
    main()
