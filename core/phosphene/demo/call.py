"""`phosphene demo`: classes, attributions, channels, inversions and an atlas of the specimen as one offline page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas import Atlas
from phosphene.atlas.figure import PictureSettings, map_picture
from phosphene.attribution.call import attribute
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.demo.result import (
    AtlasReport,
    ChannelRow,
    ClassPictures,
    Demo,
    Explanations,
    Inversions,
    TrustReport,
    UnitReport,
)
from phosphene.extraction.call import activations
from phosphene.inversion.call import invert
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole
from phosphene.layers import OUTPUT
from phosphene.loaders import load
from phosphene.objectives import channel, logit
from phosphene.optimizers import adam
from phosphene.parameterizations import pixel
from phosphene.rendering.call import render
from phosphene.rendering.result import Renders
from phosphene.specimen.weights import metadata
from phosphene.trust import assess, robust_values
from phosphene.types import Floats
from phosphene.unit_statistics.call import units

__all__ = ["run_demo"]

LAYERS = ("stage1", "stage2", "stage3")
CHANNELS = 16
NATURAL = 2000
EXPLAINED = ("astronaut", "cat", "china", "coffee", "coins", "rocket")
REPORTED = 12
JUDGED = 7
"""Number of channels with a trust card, one of which is shown twice."""

TRUST_CROPS = 400
"""Number of crops for the trust cards: 200 are enough for a percentile, and all 2,000 would take too long."""

BARE_STEPS = 64

ATLAS_IMAGES = 5000
ATLAS_LEVELS = (10, 20)


def run_demo(
    backend: str, out: str | Path, *, say: Callable[[str], None] = print, steps: int | None = None, atlas: bool = True
) -> Path:
    """Compute all sections, and write them to ``index.html`` in a folder, with an atlas beside it.

    Parameters
    ----------
    backend : str
        "torch" or "jax".
    out : str or Path
        Output folder, created if needed.
    say : callable, default print
        Called with a message at each stage.
    steps : int, optional
        Gradient evaluations per picture (default: those of the recipe).
    atlas : bool, default True
        Whether to build the atlas, which takes as long as everything else.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    UnwritablePath
        When the folder cannot be written; raised before any computation.
    """
    from phosphene.demo.page import demo_page

    target = check_writable(given_path(out, "out") / "index.html")
    started = time.perf_counter()
    network, witness = load("specimen", backend=backend), load("specimen-witness", backend=backend)
    say(f"reading {NATURAL:,} crops of 18 photographs")
    crops = Crops(NATURAL, seed=90)
    photographs = crops.images()
    natural = {
        path: value if value.ndim == 2 else value.mean(axis=tuple(range(1, value.ndim - 1)))
        for path, value in activations(network, photographs, [*LAYERS, OUTPUT], batch=100).items()
    }
    say("rendering one picture per class")
    classes = _classes(network, witness, photographs, natural[OUTPUT], crops.labels, steps)
    say(f"attributing the classes of {len(EXPLAINED)} photographs")
    explanations = _explanations(network)
    rows = []
    for path in LAYERS:
        say(f"rendering {CHANNELS} channels of {path}")
        rows.append(_channels(network, path, natural[path], steps))
    say(f"computing statistics of all channels over {NATURAL:,} crops")
    report = _units(network, photographs, rows)
    say(f"assessing how far {JUDGED} pictures can be trusted")
    trust = _trust(network, photographs[:TRUST_CROPS], rows[-1], steps)
    say("inverting two photographs at three layers")
    inversions = _inversions(network, steps)
    say(f"building an atlas of {LAYERS[-1]}" if atlas else "skipping the atlas")
    mapped = (
        _atlas(network, LAYERS[-1], target.parent / f"atlas-{backend}", target.parent / "atlas.html") if atlas else None
    )
    notes = metadata("specimen")
    facts = {
        "parameters": f"{network.layers[OUTPUT].parameters:,}",
        "photographs": f"{len(network.classes or ())}",
        "accuracy on new crops": f"{float(notes['accuracy_fresh']):.2%}",
        "accuracy on held-out strips": f"{float(notes['accuracy_strip']):.1%}",
        "framework": {"torch": "PyTorch", "jax": "JAX"}.get(network.backend.name, network.backend.name),
    }
    seconds = time.perf_counter() - started
    demo = Demo(network, facts, classes, explanations, rows, report, trust, inversions, mapped, seconds)
    write_whole(target, demo_page(demo).encode())
    return target


def _classes(
    network: Network,
    witness: Network,
    photographs: NDArray[np.float32],
    natural: Floats,
    labels: NDArray[np.int64],
    steps: int | None,
) -> ClassPictures:
    names = network.classes or ()
    objectives = [logit(name) for name in names]
    renders = render(network, objectives, size=96, steps=steps, progress=False)
    seen = activations(witness, renders.images, OUTPUT)[OUTPUT]
    chances = np.exp(seen - seen.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    examples = []
    for index in range(len(names)):
        own = np.flatnonzero(labels == index)
        examples.append(photographs[own[np.argsort(-natural[own, index])[:3]]])
    verdicts = [(names[int(row.argmax())], float(row.max())) for row in chances]
    return ClassPictures(
        renders=renders,
        robust=robust_values(network, objectives, renders.images),
        natural_best=natural.max(axis=0),
        examples=examples,
        witness=verdicts,
        recognised=[verdict[0] == name for verdict, name in zip(verdicts, names, strict=True)],
    )


def _explanations(network: Network) -> Explanations:
    photographs = _striking(EXPLAINED)
    maps = [attribute(network, photographs, method=method, sanity=True) for method in ("gradcam", "guided_backprop")]
    return Explanations(list(EXPLAINED), *maps)


def _channels(network: Network, path: str, natural: Floats, steps: int | None) -> ChannelRow:
    count = network.layers[path].channels
    chosen = [int(index) for index in np.linspace(0, count - 1, CHANNELS).round()]
    best = natural.max(axis=0)
    dead = [index for index in chosen if best[index] <= 0]
    alive = [index for index in chosen if best[index] > 0]
    renders = (
        render(network, [channel(path, index) for index in alive], size=72, steps=steps, progress=False)
        if alive
        else None
    )
    return ChannelRow(path, alive, renders, best[alive], dead)


def _units(network: Network, photographs: NDArray[np.float32], rows: list[ChannelRow]) -> UnitReport | None:
    """Unit statistics of all layers; None if no channel of the last layer has a picture."""
    last = rows[-1]
    if last.renders is None:
        return None
    shown = _drawn(last.renders)[:REPORTED]
    layers = {path: units(network, photographs, path, progress=False) for path in LAYERS}
    return UnitReport(layers, last.layer, [last.channels[place] for place in shown], shown, last.renders)


def _drawn(renders: Renders) -> list[int]:
    """Indices of the pictures that are not flat."""
    from phosphene.demo.page import FLAT

    return [
        place
        for place, image in enumerate(renders.images)
        if renders.status[place] != "dead" and float(image.std()) >= FLAT
    ]


def _trust(
    network: Network, photographs: NDArray[np.float32], row: ChannelRow, steps: int | None
) -> TrustReport | None:
    """Trust cards of every other channel of a row, and of the channel whose picture without regularization differs most."""
    shown = [] if row.renders is None else _drawn(row.renders)[1::2][:JUDGED]
    if row.renders is None or not shown:
        return None
    wanted = [channel(row.layer, row.channels[place]) for place in shown]
    options: dict[str, Any] = {"size": 72, "progress": False}
    again = render(network, wanted, steps=steps, seed=1, **options)
    cards = assess(network, [row.renders.rows(shown), again], photographs, seeds=2, progress=False)
    bare = [
        render(
            network,
            wanted,
            steps=steps or BARE_STEPS,
            seed=seed,
            parameterization=pixel(),
            transforms=[],
            regularizers=[],
            optimizer=adam(0.05),
            **options,
        )
        for seed in range(2)
    ]
    without = assess(network, bare, photographs, seeds=2, progress=False)
    words = [one.standing[0] - two.standing[0] for one, two in zip(cards, without, strict=True)]
    gaps = np.nan_to_num(cards.scores - without.scores, nan=-1.0)
    place = max(range(len(cards)), key=lambda index: (words[index], gaps[index]))
    return TrustReport(row.layer, cards, place, without[place])


def _inversions(network: Network, steps: int | None) -> Inversions:
    wanted = ("cat", "china")
    photographs = _striking(wanted)
    renders = {path: invert(network, photographs, path, steps=steps or 256, progress=False) for path in LAYERS}
    return Inversions(photographs, list(wanted), renders)


def _atlas(network: Network, layer: str, folder: Path, page: Path) -> AtlasReport:
    """Build an atlas of one layer, write its interactive page, and draw its map.

    Parameters
    ----------
    network : Network
    layer : str
    folder : Path
        Folder of the atlas, which stays there to be opened later. An existing atlas is reused.
    page : Path
        Path of the viewer's page.

    Returns
    -------
    AtlasReport
    """
    atlas = Atlas.build(network, f"photos:{ATLAS_IMAGES}", [layer], folder, levels=ATLAS_LEVELS, progress=False)
    atlas.view(page)
    size = ATLAS_LEVELS[-1]
    grid, icons = atlas.grid(layer), atlas.icons(layer, size)
    level, labels, clusters = grid.level(size), atlas.labels(layer, size), atlas.clusters(layer, ATLAS_LEVELS[0])
    large = [index for index in np.argsort(-clusters.counts, kind="stable") if clusters.claimed[index]]
    return AtlasReport(
        layer=layer,
        picture=map_picture(grid.points, level, icons, PictureSettings(cell=44)),
        size=size,
        points=len(grid.points),
        cells=int(level.kept.sum()),
        trustworthiness=atlas.measures(layer).trustworthiness,
        fidelity=float(np.median(icons.fidelity)),
        evaluations=float(np.median(icons.evaluations)),
        labelled=float(np.mean(labels.claimed[icons.groups])),
        regions=[(clusters.names[index], *map(float, clusters.places[index])) for index in large],
        folder=folder,
        page=page.name,
    )


def _striking(wanted: Sequence[str]) -> NDArray[np.float32]:
    """The crop of each photograph with the highest contrast."""
    crops = Crops(200, seed=12, size=96)
    return np.stack([crops[_widest(crops, crops.classes.index(name))][0] for name in wanted])


def _widest(crops: Crops, label: int) -> int:
    """Index of the crop of a class with the highest contrast."""
    indices: Sequence[int] = np.flatnonzero(crops.labels == label).tolist()
    return max(indices, key=lambda index: float(crops[index][0].std()))
