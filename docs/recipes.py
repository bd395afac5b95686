"""Makes the pictures of ``docs/recipes.md``: all recipes on the same units, sets, ways, dreams and accentuations.

``python docs/recipes.py [--only recipes|sets|dream|accentuation]``
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from looks import png
from numpy.typing import NDArray
from PIL import Image

import phosphene as ph
from phosphene.kit.figures import grid, show_image
from phosphene.kit.pictures import png_bytes
from phosphene.rendering.presets import preset_names

IMAGES = Path(__file__).parent / "images"
STEPS = {"maco": 64}
"""Fewer than published, where 32 views a step make a step that much dearer."""


def recipes(network: ph.Network) -> None:
    """Each recipe on the same five units."""
    units = [
        ph.logit("coins"),
        ph.logit("gravel"),
        ph.channel("stage3", 2),
        ph.channel("stage2", 5),
        ph.channel("stage1", 3),
    ]
    names = preset_names()
    figure, axes = grid(len(units) * len(names), len(names), (1.35, 1.5))
    for column, name in enumerate(names):
        found = ph.render(network, units, size=96, preset=name, steps=STEPS.get(name), progress=False)
        for row, image in enumerate(found.images):
            axis = axes[row * len(names) + column]
            show_image(axis, image)
            title = name if row == 0 else ""
            axis.set_title(f"{title}\n{found.labels[row]}" if column == 0 else title, fontsize=8)
    (IMAGES / "recipes.png").write_bytes(png(figure))


def sets(network: ph.Network) -> None:
    """Unlike pictures of one unit, a way from one to another, and a weighted group."""
    unit, other = ph.channel("stage3", 7), ph.channel("stage3", 2)
    rows = {
        "four unlike pictures of stage3 : 7": ph.objectives.diverse(unit, 4, "stage2", weight=3.0),
        "from stage3 : 7 to stage3 : 2": ph.objectives.interpolate(unit, other, 4),
        "stage3 : 2, stage3 : 7, both alike, and one held down": [
            other,
            unit,
            ph.objectives.group("stage3", [2, 7]),
            ph.objectives.group("stage3", {2: 2.0, 7: -1.0}),
        ],
    }
    figure, axes = grid(4 * len(rows), 4, (1.9, 2.05))
    for row, (title, wanted) in enumerate(rows.items()):
        for column, image in enumerate(ph.render(network, wanted, size=96, progress=False).images):
            show_image(axes[4 * row + column], image)
        axes[4 * row].set_title(title, fontsize=9, loc="left")
    (IMAGES / "sets.png").write_bytes(png(figure))


def photograph() -> NDArray[np.float32]:
    """A cat, as scikit-image brings it."""
    from skimage import data

    return np.asarray(Image.fromarray(data.chelsea()).resize((376, 250), Image.Resampling.LANCZOS), np.float32) / 255


def dream(network: ph.Network) -> None:
    """The photograph, and what three depths make of it."""
    image = photograph()
    shown = [image] + [
        ph.dream(network, image, ph.objectives.layer(path), steps=steps, progress=False).images[0]
        for path, steps in (("stage1", 8), ("stage2", 8), ("stage3", 24))
    ]
    gap = np.ones((image.shape[0], 6, 3), np.float32)
    parts = [part for one in shown for part in (one, gap)][:-1]
    rows = [np.concatenate(parts[:3], axis=1), np.concatenate(parts[4:], axis=1)]
    (IMAGES / "dream.png").write_bytes(
        png_bytes(np.concatenate([rows[0], np.ones((6, rows[0].shape[1], 3), np.float32), rows[1]]))
    )


def accentuation(network: ph.Network) -> None:
    """What would have to change in a cat's eye for the network to see coins."""
    found = ph.accentuate(
        network, photograph()[60:188, 120:248], ph.logit("coins"), layer="stage2", threshold=3.0, progress=False
    )
    (IMAGES / "accentuation.png").write_bytes(png(found.plot()))


PARTS: dict[str, Callable[[ph.Network], None]] = {
    "recipes": recipes,
    "sets": sets,
    "dream": dream,
    "accentuation": accentuation,
}


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    network = ph.load("specimen", backend="torch")
    for name, make in PARTS.items():
        if given.only in (None, name):
            make(network)


if __name__ == "__main__":
    main()
