"""Makes the pictures of comparisons: two networks side by side, and how alike their layers are.

    python docs/compare.py specimens                      docs/images/compare_specimens.png
    python docs/compare.py examples [--cnn F] [--vit F]   docs/images/compare_cnn_vit.png

The second compares the CNN and the Vision Transformer of ``examples``; where a file of weights does not exist, the network is
trained and written to it, which takes some minutes for the CNN, and ten to twenty for the transformer on one thread. With
``--out`` the figure, or a page (``.html``), goes elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "examples")]

import phosphene as ph  # noqa: E402
from phosphene.comparison import compare  # noqa: E402
from phosphene.kit.overlays import coloured  # noqa: E402

IMAGES = DOCS / "images"
LARGEST, SMALLER = 350_000, 0.7
"""Bytes above which a picture gets a palette, and how much smaller it is then."""

CLASSES = ("coins", "retina", "cat", "coffee")
LAYERS = ["stem", "stage1", "stage2", "stage3"]
CNN_LAYERS = [f"blocks.{index}" for index in range(4)] + ["head"]
VIT_LAYERS = ["patch_embed", *(f"blocks.{index}" for index in range(4)), "norm", "head"]


def specimens(given: argparse.Namespace) -> Any:
    """Two seeds and widths of one architecture, one on each framework: classes, and the channels that answer alike."""
    networks = [ph.load("specimen", backend="torch"), ph.load("specimen-witness", backend="jax")]
    return compare(
        networks, CLASSES, images=f"photos:{given.images}", layers=[LAYERS, LAYERS], units=4, steps=given.steps, size=96
    )


def examples(given: argparse.Namespace) -> Any:
    """A CNN and a Vision Transformer that were trained on the same photographs."""
    import train_on_photographs

    networks = [train_on_photographs.network("cnn", given.cnn), train_on_photographs.network("vit", given.vit)]
    return compare(
        networks, CLASSES, images=f"photos:{given.images}", layers=[CNN_LAYERS, VIT_LAYERS], steps=given.steps
    )


def write(found: Any, path: Path) -> None:
    """The figure or page; a large PNG smaller, and with a palette, as the other pictures of these pages."""
    from PIL import Image

    found.save(path)
    if path.suffix != ".png" or path.stat().st_size <= LARGEST:
        return
    with Image.open(path) as opened:
        size = round(SMALLER * opened.width), round(SMALLER * opened.height)
        picture = opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    # A third of the palette is kept for the colour map, paper, ink and lines: one of pictures alone would show steps in the map
    # that are none, and paper that is not white.
    greys, line = np.linspace(0, 1, 9)[:, None].repeat(3, axis=1), np.array([0x00, 0x72, 0xB2]) / 255
    blues = line + (1 - line) * np.linspace(0, 0.75, 4)[:, None]
    kept = np.concatenate([coloured(np.linspace(0, 1, 72)[None])[0], greys, blues])
    free = 256 - len(kept)
    palette = (picture.quantize(free).getpalette() or [])[: 3 * free]
    colours = Image.new("P", (1, 1))
    colours.putpalette([*palette, *np.round(255 * kept).astype(int).ravel().tolist()])
    reduced = picture.quantize(palette=colours, dither=Image.Dither.NONE)
    # Pillow looks for the nearest colour in a coarse grid, in which white is not itself.
    paper = Image.fromarray(np.asarray(picture).min(axis=-1) == 255)
    reduced.paste(len(palette) // 3 + 72 + len(greys) - 1, mask=paper)
    reduced.save(path, optimize=True)


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", choices=("specimens", "examples"))
    parser.add_argument("--cnn", type=Path, default=Path("out/examples/cnn.safetensors"), help="weights of the CNN")
    parser.add_argument(
        "--vit", type=Path, default=Path("out/examples/vit.safetensors"), help="weights of the transformer"
    )
    parser.add_argument("--images", type=int, default=720, help="crops over which layers are compared")
    parser.add_argument("--steps", type=int, help="gradient evaluations per picture (default: those of the preset)")
    parser.add_argument("--out", type=Path, help="a .png, .svg, .pdf or .html")
    given = parser.parse_args()
    found = {"specimens": specimens, "examples": examples}[given.which](given)
    print(found)
    name = {"specimens": "compare_specimens", "examples": "compare_cnn_vit"}[given.which]
    write(found, given.out or IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
