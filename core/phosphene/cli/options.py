"""Options that several commands share, and what they are checked for before any work is done."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phosphene import Network

__all__ = [
    "FIGURES",
    "AnyBackend",
    "Backend",
    "ImagesArgument",
    "ImagesOption",
    "InputSize",
    "Layers",
    "Model",
    "OnError",
    "Out",
    "PhotographArgument",
    "Seed",
    "Size",
    "Steps",
    "Weights",
    "beside",
    "check_out",
    "one_target",
    "parse_target",
]

FIGURES = (".png", ".svg", ".pdf")
"""Endings of the files that a figure can be written to."""

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
ImagesArgument = Annotated[str, typer.Argument(help="a folder, a picture, a text file of paths, or photos:N[:SEED]")]
ImagesOption = Annotated[
    str | None, typer.Option("--images", help="a folder, a picture, a text file of paths, or photos:N[:SEED]")
]
PhotographArgument = Annotated[Path, typer.Argument(help="a picture file")]
Layers = Annotated[list[str], typer.Option("--layer", help="path of a layer; may be given more than once")]
OnError = Annotated[str, typer.Option(help="of a file that cannot be read: raise, or skip and count it")]


def check_out(path: Path, *endings: str) -> None:
    """Whether `path` can be written and ends in one of `endings`, before any work is done.

    Parameters
    ----------
    path : Path
    *endings : str
        ".png" and the like.

    Raises
    ------
    InvalidParameter
        For another ending.
    UnwritablePath
        When it cannot be written.
    """
    from phosphene.errors import InvalidParameter
    from phosphene.files import check_writable

    if path.suffix not in endings:
        listed = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
        raise InvalidParameter(
            "out", allowed=f"a name that ends in {listed}", received=str(path),
            fix=f"For example {path.with_suffix(endings[0])}.",
        )  # fmt: skip
    check_writable(path)


def beside(out: Path, layers: list[str], network: Network) -> list[tuple[str, Path]]:
    """Each layer with the file of its result: `out`, or names beside it that say the layer where layers are several.

    Raises
    ------
    UnknownLayer
        For a path the network does not have, before any of them is worked on.
    """
    for layer in layers:
        network.layers[layer]
    if len(layers) == 1:
        return [(layers[0], out)]
    names = [re.sub(r"[^\w.-]", "_", layer) for layer in layers]
    return [(layer, out.with_name(f"{out.stem}-{name}{out.suffix}")) for layer, name in zip(layers, names, strict=True)]


def parse_target(text: str) -> list[Any]:
    """Objectives from a target as it is written on the command line.

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
        When it is written otherwise.
    """
    import phosphene as ph
    from phosphene.errors import InvalidParameter

    if ":" not in text:
        return [ph.logit(int(text) if text.isdigit() else text)]
    if text.endswith(":all"):
        return [ph.layer(text.removesuffix(":all"))]
    found = re.fullmatch(r"(.+):(\d+)(?:-(\d+))?(?:@(centre|\d+(?:,\d+)*))?", text)
    if found is None:
        raise InvalidParameter(
            "target", allowed="CLASS, LAYER:CHANNEL, LAYER:FIRST-LAST, LAYER:CHANNEL@ROW,COLUMN or LAYER:all", received=text,
            fix="For example stage3:0-15.",
        )  # fmt: skip
    layer, first, last, place = found.groups()
    channels = range(int(first), int(last or first) + 1)
    if place is None:
        return [ph.channel(layer, index) for index in channels]
    at = None if place == "centre" else tuple(int(index) for index in place.split(","))
    return [ph.neuron(layer, index, at) for index in channels]


def one_target(text: str) -> Any:
    """The objective that a target is, where a command takes one alone.

    Raises
    ------
    InvalidParameter
        When it is several.
    """
    from phosphene.errors import InvalidParameter

    found = parse_target(text)
    if len(found) != 1:
        raise InvalidParameter("target", allowed="one target", received=text, fix="Run it once for each.")
    return found[0]
