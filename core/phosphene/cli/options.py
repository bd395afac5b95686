"""Arguments and options that several commands share, and the parsing and checks of their values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phosphene.rendering.presets import preset_names
from phosphene.words import plain_message

if TYPE_CHECKING:
    from phosphene import Network

__all__ = [
    "FIGURES",
    "IMAGES",
    "MODELS",
    "TARGETS",
    "Backend",
    "Column",
    "Fit",
    "ImagesArgument",
    "ImagesOption",
    "InputSize",
    "Layer",
    "Layers",
    "Model",
    "OnError",
    "Out",
    "PhotographArgument",
    "PhotographSize",
    "Preset",
    "RealImages",
    "Seed",
    "Size",
    "Steps",
    "Targets",
    "Weights",
    "check_out",
    "files_by_layer",
    "loading",
    "one_target",
    "opened",
    "parse_integers",
    "parse_target",
    "parse_targets",
    "say",
    "split",
]

FIGURES = (".png", ".svg", ".pdf")
"""Endings of the files to which a figure can be written."""

MODELS = "specimen, torchvision:NAME, timm:NAME, hf:NAME_OR_FOLDER or package.module:factory"
IMAGES = (
    "folder, image file, pattern such as '*.jpg', text file of paths, shard, archive, film, .npy file, address, or "
    "photos:N[:SEED]"
)
TARGETS = "class (coins), channels (stage3:5, stage3:0-15) or neuron (stage3:5@2,3)"

FACTORY = "A factory is a function of yours that returns a model, or ph.wrap(model, size=...)."

Model = Annotated[str, typer.Argument(help=f"Model: {MODELS}. {FACTORY}")]
Targets = Annotated[list[str], typer.Argument(help=f"Targets: {TARGETS}.")]
ImagesArgument = Annotated[list[str], typer.Argument(help=f"Images: {IMAGES}; or several files.")]
PhotographArgument = Annotated[str, typer.Argument(help=f"One image: {IMAGES}.")]

Backend = Annotated[str | None, typer.Option(help="torch or jax (default: found from the model).")]
Weights = Annotated[
    str | None, typer.Option(help="'random', or a .safetensors or .pt file (default: the published weights).")
]
InputSize = Annotated[
    int | None,
    typer.Option(
        help="Native input size of the model in pixels per side; required for a factory, unless it returns ph.wrap(...)."
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        help="How images of another size are fitted to the input: crop, pad or stretch; crop:0.875 keeps that share of the "
        "sides about the centre (default: as the model's own preprocessing does)."
    ),
]
Column = Annotated[
    str | None, typer.Option(help="Name of the images in shards or archives that hold more (default: found).")
]
ImagesOption = Annotated[str | None, typer.Option("--images", help=f"Images: {IMAGES}.")]
RealImages = Annotated[str, typer.Option("--images", help=f"At least 200 real images: {IMAGES}.")]
Layer = Annotated[str, typer.Option(help="Path of the layer.")]
Layers = Annotated[list[str], typer.Option("--layer", help="Path of a layer; can be repeated.")]
Out = Annotated[Path, typer.Option(help="Output file, .png or .npz.")]
Size = Annotated[int | None, typer.Option(help="Size of the pictures in pixels per side (default: the input size).")]
PhotographSize = Annotated[
    int | None,
    typer.Option(min=2, help="Pixels per side to which the image is cropped and resized (default: its own size)."),
]
Steps = Annotated[int | None, typer.Option(help="Gradient evaluations per picture (default: from the preset).")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Preset = Annotated[str | None, typer.Option(help=f"Preset recipe: {', '.join(preset_names())}.")]
OnError = Annotated[
    str, typer.Option(help="Whether to 'raise' for an unreadable image file, or to 'skip' and count it.")
]


def opened(model: str, backend: str | None, weights: str | None, input_size: int | None) -> Network:
    """Load the network of a command; errors speak of its options.

    Raises
    ------
    PhospheneError
        See `phosphene.load`.
    """
    import phosphene as ph

    with loading(model, input_size):
        return ph.load(model, backend=backend, weights=weights, size=input_size)


@contextmanager
def loading(model: str, input_size: int | None) -> Iterator[None]:
    """A context in which errors about the arguments of `phosphene.load` name the options of the command line."""
    from phosphene.errors import InvalidParameter, said

    try:
        yield
    except InvalidParameter as error:
        if error.parameter == "size" and input_size is None:
            raise InvalidParameter(
                "--input-size",
                allowed="the native input size of the model in pixels per side",
                received=said("nothing"),
                fix=f"The model that {model} returns does not state it: add --input-size 224, or let the factory return "
                "ph.wrap(model, size=...).",
            ) from error
        names = error.parameter.split(", ")
        if all(name in OPTION_OF for name in names):
            written = ", ".join(OPTION_OF[name] for name in names)
            error.args = (written + str(error).removeprefix(error.parameter),)
        raise


OPTION_OF = {
    "size": "--input-size",
    "backend": "--backend",
    "weights": "--weights",
}
"""Options of the command line by the argument of `phosphene.load` that they set."""


def check_out(path: Path, *endings: str) -> Path:
    """Check that `path` can be written and has one of `endings`, before any work is done.

    Parameters
    ----------
    path : Path
    *endings : str
        Such as ".png".

    Returns
    -------
    Path
        Where to write: the home folder in place of ``~``.

    Raises
    ------
    InvalidParameter
        If the path has another ending.
    UnwritablePath
        If the path cannot be written.
    """
    from phosphene.errors import InvalidParameter
    from phosphene.kit.places import given_path
    from phosphene.kit.writing import check_writable

    path = given_path(path, "out")
    if path.suffix not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
        raise InvalidParameter(
            "out",
            allowed=f"a name that ends in {listed}",
            received=str(path),
            fix=f"For example {path.with_suffix(endings[0])}.",
        )
    return check_writable(path, "out")


def files_by_layer(out: Path, layers: list[str], network: Network) -> list[tuple[str, Path]]:
    """Return each layer with its output file: `out`, or for several layers `out` with the layer in its name.

    Raises
    ------
    UnknownLayer
        If the network does not have one of the layers, before any work is done.
    """
    for layer in layers:
        network.layers[layer]
    if len(layers) == 1:
        return [(layers[0], out)]
    names = [re.sub(r"[^\w.-]", "_", layer) for layer in layers]
    return [(layer, out.with_name(f"{out.stem}-{name}{out.suffix}")) for layer, name in zip(layers, names, strict=True)]


def say(text: object) -> None:
    """Print a message of a command; no name in it can hide, reorder or colour the text of the terminal."""
    typer.echo(plain_message(text))


def split(text: str) -> list[str]:
    """Split a list separated by commas, without empty items."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_integers(name: str, text: str) -> list[int]:
    """Return the integers of a list of numbers and ranges, such as ``0-15,20``.

    Raises
    ------
    InvalidParameter
        If it is written otherwise, or an integer is larger than any layer has channels.
    """
    from phosphene.kit.checks import MOST_CHANNELS, ranges

    return list(ranges(name, text, MOST_CHANNELS))


def parse_targets(texts: list[str] | None) -> list[Any]:
    """Return the objectives of all targets; see `parse_target`."""
    from phosphene.errors import InvalidParameter
    from phosphene.objectives.targets import MOST

    found: list[Any] = []
    for text in texts or ():
        found += parse_target(text)
        if len(found) > MOST:
            raise InvalidParameter(
                "targets", allowed=f"at most {MOST:,} objectives", received=text, fix="Run the command several times."
            )
    return found


def parse_target(text: str) -> list[Any]:
    """Return the objectives of a target as it is written on the command line.

    Parameters
    ----------
    text : str
        A class by name or index, ``LAYER:CHANNEL``, ``LAYER:FIRST-LAST``, ``LAYER:CHANNEL@ROW,COLUMN`` or ``LAYER:all``.

    Returns
    -------
    list of Objective

    Raises
    ------
    InvalidParameter
        If it is written otherwise.
    """
    from phosphene.errors import InvalidParameter
    from phosphene.objectives.targets import parse

    found = parse(text)
    if ":" in text and getattr(found[0], "wanted", None) == text:  # a class, whose name may have a colon only in Python
        raise InvalidParameter(
            "target",
            allowed="CLASS, LAYER:CHANNEL, LAYER:FIRST-LAST, LAYER:CHANNEL@ROW,COLUMN or LAYER:all",
            received=text,
            fix="For example stage3:0-15.",
        )
    return found


def one_target(text: str) -> Any:
    """Return the objective of a target that must be a single one.

    Raises
    ------
    InvalidParameter
        If the target stands for several objectives.
    """
    from phosphene.errors import InvalidParameter

    found = parse_target(text)
    if len(found) != 1:
        raise InvalidParameter("target", allowed="one target", received=text, fix="Run the command once per target.")
    return found[0]
