"""The same five calls for the network of every example, whatever its framework."""

from __future__ import annotations

import argparse
from pathlib import Path

import phosphene as ph
from phosphene.data import Crops

__all__ = ["run", "show"]


def show(network: ph.Network, layer: str, *, out: Path, steps: int = 128, size: int | None = None) -> ph.Renders:
    """Read a layer, render three of its channels and three classes, and reconstruct a photograph from it.

    Parameters
    ----------
    network : Network
        A network whose classes include those of the photographs.
    layer : str
        Path of the layer.
    out : Path
        Folder for the pictures.
    steps : int, default 128
        Gradient evaluations per picture.
    size : int, optional
        Pixels per side (default: the native size of the network).

    Returns
    -------
    Renders
    """
    print(network)
    print(network.layers)

    crop = Crops(1, seed=4).images()
    activation = ph.activations(network, crop, layer)[layer]
    print(f"{layer} of one crop: {activation.shape}, {(activation > 0).mean():.0%} of it above zero")

    wanted = [ph.channel(layer, index) for index in range(3)]
    wanted += [ph.logit(name) for name in ("coins", "flower", "text")]
    pictures = ph.render(network, wanted, size=size, steps=steps)
    print(pictures)
    rebuilt = ph.invert(network, crop, layer, steps=steps)
    print(rebuilt)
    name = network.name.lower().replace(" ", "-")
    for result, what in ((pictures, "pictures"), (rebuilt, "inversion")):
        print(result.save(out / f"{name}-{what}.png"))
    return pictures


def run(network: ph.Network, layer: str, size: int | None = None) -> None:
    """Run `show` with arguments from the command line: ``--out FOLDER --steps N``."""
    parser = argparse.ArgumentParser(description=f"Show what a network sees: {network.name}.")
    parser.add_argument("--out", type=Path, default=Path("out/examples"))
    parser.add_argument("--steps", type=int, default=128)
    given = parser.parse_args()
    show(network, layer, out=given.out, steps=given.steps, size=size)
