"""Makes the pictures of ``docs/trust.md``: what misleads, and what a card says of it, with the embedded network.

``python docs/trust.py [NAME ...]`` writes them to ``docs/images``; a name is cards, seeds, canvas, units, depth, noise or circuits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from looks import png
from numpy.typing import NDArray

import phosphene as ph
from phosphene.data import Crops
from phosphene.kit.figures import grid, show_image
from phosphene.trust.figure import COLOURS

IMAGES = Path(__file__).parent / "images"
REAL = "photos:600"
BARE: dict[str, Any] = {
    "parameterization": ph.parameterizations.pixel(),
    "transforms": [],
    "regularizers": [],
    "optimizer": ph.optimizers.adam(0.05),
}
"""Gradient ascent on pixels, and nothing else."""

Cell = tuple[NDArray[np.float32], str]


@cache
def specimen() -> ph.Network:
    """The embedded network."""
    return ph.load("specimen", backend="torch")


def rendered(wanted: Any, **options: Any) -> ph.Renders:
    """Pictures at 96 pixels a side where nothing else is said."""
    return ph.render(specimen(), wanted, **{"size": 96, "progress": False, **options})


def rows_of(rows: Sequence[Sequence[Cell]]) -> Any:
    """Rows of pictures with a title each; the words of a card in its colour where they are the first of a title."""
    columns = max(map(len, rows))
    figure, axes = grid(columns * len(rows), columns, (1.5, 1.86))
    for row, cells in enumerate(rows):
        for column, (image, title) in enumerate(cells):
            axis = axes[row * columns + column]
            show_image(axis, image)
            word = next((word for word in COLOURS if title.startswith(word)), None)
            axis.set_title(title, fontsize=7.5, color=COLOURS[word] if word else "black")
    return figure


def told(card: ph.TrustCard, *more: str) -> str:
    """The word of a card, its score, and what else."""
    return "\n".join((f"{card.word}, {card.score:.0%}", *more))


def cards() -> Any:
    """Four cards as they are plotted."""
    found = rendered([ph.channel("stage3", index) for index in (8, 42, 25, 76)], size=72)
    return ph.assess(specimen(), found, REAL, seeds=3, progress=False).plot()


def seeds() -> Any:
    """Four starts of three pictures."""
    rows = []
    for unit, options in (
        (ph.channel("stage3", 127), {}),
        (ph.channel("stage3", 42), {}),
        (ph.channel("stage2", 25), {"preset": "plain"}),
    ):
        runs = [rendered(unit, seed=seed, size=72, **options) for seed in range(4)]
        card = ph.assess(specimen(), runs, REAL, seeds=4, progress=False)[0]
        recipe = options.get("preset", "default")
        first = f"{card.label}, {recipe}\nd' {card.consistency:.1f}"
        rows.append([(run.images[0], first if seed == 0 else f"\nseed {seed}") for seed, run in enumerate(runs)])
    return rows_of(rows)


def canvas() -> Any:
    """One channel on canvases of several sizes, a neuron of it, and the real crops that activate it most."""
    rows = []
    for index in (42, 59):
        unit = ph.channel("stage3", index)
        cells: list[Cell] = [
            (rendered(unit, size=size).images[0], f"channel {index}\non {size} pixels") for size in (64, 128, 224)
        ]
        cells.append((rendered(ph.neuron("stage3", index), size=128).images[0], "its neuron in the\nmiddle, on 128"))
        best = ph.assess(specimen(), rendered(unit, size=64, steps=2), REAL, seeds=1, progress=False)[0].strongest
        rows.append([*cells, (best[0], "the most exciting\nreal crop, of 64")])
    return rows_of(rows)


def units() -> Any:
    """A neuron, its channel and a direction of the layer, with the real crops that activate each most."""
    images = Crops(300, seed=4).images()
    found = ph.factorize(ph.activations(specimen(), images, ["stage3"]), "stage3", 16, seed=0)
    wanted = [ph.neuron("stage3", 68), ph.channel("stage3", 68), found.objective(_nearest(found, 68))]
    pictures = rendered(wanted, size=64)
    judged = ph.assess(specimen(), pictures, REAL, seeds=2, objectives=wanted, progress=False)
    names = ("one neuron of channel 68", "channel 68", "a direction it is part of")
    return rows_of(
        [
            [
                (card.picture, told(card, name)),
                *((crop, "real, most exciting" if place == 0 else "") for place, crop in enumerate(card.strongest[:4])),
            ]
            for card, name in zip(judged, names, strict=True)
        ]
    )


def _nearest(found: ph.Features, channel: int) -> int:
    """The direction of which a channel is the largest part."""
    directions = np.asarray(found.vectors)
    lengths = np.linalg.norm(directions, axis=1)
    return int(np.argmax(directions[:, channel] / np.maximum(lengths, 1e-12)))


def depth() -> Any:
    """One unit of each layer with its strongest real crop: too shallow for an object, too deep for a pattern."""
    wanted = [
        ph.channel("stem", 2),
        ph.channel("stage1", 3),
        ph.channel("stage2", 17),
        ph.channel("stage3", 42),
        ph.logit("coins"),
    ]
    pictures = rendered(wanted, size=96)
    judged = ph.assess(specimen(), pictures, REAL, seeds=2, objectives=wanted, progress=False)
    above = [(card.picture, told(card, card.label)) for card in judged]
    return rows_of([above, [(card.strongest[0], "real, most exciting") for card in judged]])


def noise() -> Any:
    """The same channels by our recipe and by bare ascent, as cards."""
    wanted = [ph.channel("stage3", index) for index in (8, 93)]
    found = []
    for name, options in (("our recipe", {}), ("bare ascent", BARE)):
        pictures = rendered(wanted, size=72, **options)
        judged = ph.assess(specimen(), pictures, REAL, seeds=2, progress=False)
        found += [replace(card, label=f"{card.label}, {name}: {card.clean:.3g}") for card in judged]
    order = [found[place] for place in (0, 2, 1, 3)]
    return replace(judged, cards=tuple(order)).plot()


def circuits() -> Any:
    """Units that show an ascent something else than what they answer to on photographs."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from fooling_circuits import fooled, unlike

    honest = [int(index) for index in np.random.default_rng(3).permutation(128)[:3]]
    network, _ = fooled(honest, unlike(honest))
    wanted = [ph.channel("circuits", index) for index in range(len(honest))]
    shown = ph.render(network, wanted, size=64, progress=False)
    judged = ph.assess(network, shown, REAL, seeds=2, progress=False)
    truth = rendered([ph.channel("stage3", index) for index in honest], size=64)
    return rows_of(
        [
            [
                (card.picture, told(card, f"its picture (path {card.path:.1f})")),
                *(
                    (crop, "real, most\nexciting" if place == 0 else "\n")
                    for place, crop in enumerate(card.strongest[:3])
                ),
                (image, "without the deceit"),
            ]
            for card, image in zip(judged, truth.images, strict=True)
        ]
    )


PICTURES: dict[str, Callable[[], Any]] = {
    "cards": cards,
    "seeds": seeds,
    "canvas": canvas,
    "units": units,
    "depth": depth,
    "noise": noise,
    "circuits": circuits,
}


def main() -> None:
    """Make those that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        data = png(PICTURES[name]())
        (IMAGES / f"trust_{name}.png").write_bytes(data)
        print(f"trust_{name}.png: {len(data) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
