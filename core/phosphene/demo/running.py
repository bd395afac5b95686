"""The first look: the specimen's classes, attributions, channels and inversions as one offline page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import activations
from phosphene.attribution import attribute
from phosphene.backend import Network
from phosphene.data import Crops
from phosphene.demo.atlas import demo_atlas
from phosphene.demo.declarations import (
    ChannelRow,
    ClassPictures,
    Demo,
    Explanations,
    Inversions,
    TrustReport,
    UnitReport,
)
from phosphene.files import check_writable, write_whole
from phosphene.inversion import invert
from phosphene.layers import OUTPUT
from phosphene.loaders import load
from phosphene.objectives import channel, logit
from phosphene.optimizers import adam
from phosphene.parameterizations import pixel
from phosphene.rendering import render
from phosphene.results import Renders
from phosphene.specimen.weights import metadata
from phosphene.trust import assess, robust_values
from phosphene.types import Floats
from phosphene.units import units

__all__ = ["run_demo"]

LAYERS = ("stage1", "stage2", "stage3")
CHANNELS = 16
NATURAL = 2000
EXPLAINED = ("astronaut", "cat", "china", "coffee", "coins", "rocket")
REPORTED = 12
JUDGED = 7
"""Channels with a card, of which one is shown twice."""

HELD_AGAINST = 400
"""Crops for the cards: a percentile needs 200, and the time that all 2,000 take is better spent."""

BARE_STEPS = 64


def run_demo(
    backend: str, out: str | Path, *, say: Callable[[str], None] = print, steps: int | None = None, atlas: bool = True
) -> Path:
    """Compute everything and write ``index.html`` into a folder, with an atlas beside it.

    Parameters
    ----------
    backend : str
        "torch" or "jax".
    out : str or Path
        Folder; made when absent.
    say : callable
        Told a sentence at each stage.
    steps : int, optional
        Gradient evaluations a picture; the recipe's when absent.
    atlas : bool, default True
        Whether to build the atlas, which takes as long as everything else.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UnwritablePath
        When the folder cannot be written; raised before the work.
    """
    from phosphene.pages.demo import demo_page

    target = check_writable(Path(out) / "index.html")
    started = time.perf_counter()
    network, witness = load("specimen", backend=backend), load("specimen-witness", backend=backend)
    say(f"reading {NATURAL:,} crops of 18 photographs")
    crops = Crops(NATURAL, seed=90)
    photographs = crops.images()
    natural = {
        path: value if value.ndim == 2 else value.mean(axis=tuple(range(1, value.ndim - 1)))
        for path, value in activations(network, photographs, [*LAYERS, OUTPUT], batch=100).items()
    }
    say("one picture a class")
    classes = _classes(network, witness, photographs, natural[OUTPUT], crops.labels, steps)
    say(f"where it looks in {len(EXPLAINED)} photographs")
    explanations = _explanations(network)
    rows = []
    for path in LAYERS:
        say(f"{CHANNELS} channels of {path}")
        rows.append(_channels(network, path, natural[path], steps))
    say(f"what {NATURAL:,} crops excite in all channels")
    report = _units(network, photographs, rows)
    say(f"how far {JUDGED} pictures can be trusted")
    trust = _trust(network, photographs[:HELD_AGAINST], rows[-1], steps)
    say("two photographs, inverted at three depths")
    inversions = _inversions(network, steps)
    say(f"a map of what {LAYERS[-1]} sees" if atlas else "no map, as asked")
    mapped = (
        demo_atlas(network, LAYERS[-1], target.parent / f"atlas-{backend}", target.parent / "atlas.html")
        if atlas
        else None
    )
    notes = metadata("specimen")
    facts = {
        "parameters": f"{network.layers[OUTPUT].parameters:,}",
        "photographs": f"{len(network.classes or ())}",
        "right on fresh crops": f"{float(notes['accuracy_fresh']):.2%}",
        "right on strips it never saw": f"{float(notes['accuracy_strip']):.1%}",
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
    """The report of all layers; nothing where no channel of the last one has a picture."""
    last = rows[-1]
    if last.renders is None:
        return None
    shown = _drawn(last.renders)[:REPORTED]
    layers = {path: units(network, photographs, path, progress=False) for path in LAYERS}
    return UnitReport(layers, last.layer, [last.channels[place] for place in shown], shown, last.renders)


def _drawn(renders: Renders) -> list[int]:
    """Pictures that show something."""
    from phosphene.pages.demo import FLAT

    return [
        place
        for place, image in enumerate(renders.images)
        if renders.status[place] != "dead" and float(image.std()) >= FLAT
    ]


def _trust(
    network: Network, photographs: NDArray[np.float32], row: ChannelRow, steps: int | None
) -> TrustReport | None:
    """Cards of every other channel of a row, and of the bare pictures of the same channels that which differs most."""
    shown = [] if row.renders is None else _drawn(row.renders)[1::2][:JUDGED]
    if row.renders is None or not shown:
        return None
    wanted = [channel(row.layer, row.channels[place]) for place in shown]
    options: dict[str, Any] = {"size": 72, "progress": False}
    again = render(network, wanted, steps=steps, seed=1, **options)
    cards = assess(network, [row.renders.rows(shown), again], photographs, seeds=2, progress=False)
    bare = [
        render(
            network, wanted, steps=steps or BARE_STEPS, seed=seed, parameterization=pixel(), transforms=[], regularizers=[],
            optimizer=adam(0.05), **options,
        )
        for seed in range(2)
    ]  # fmt: skip
    deceitful = assess(network, bare, photographs, seeds=2, progress=False)
    words = [one.standing[0] - two.standing[0] for one, two in zip(cards, deceitful, strict=True)]
    gaps = np.nan_to_num(cards.scores - deceitful.scores, nan=-1.0)
    place = max(range(len(cards)), key=lambda index: (words[index], gaps[index]))
    return TrustReport(row.layer, cards, place, deceitful[place])


def _inversions(network: Network, steps: int | None) -> Inversions:
    wanted = ("cat", "china")
    photographs = _striking(wanted)
    renders = {path: invert(network, photographs, path, steps=steps or 256, progress=False) for path in LAYERS}
    return Inversions(photographs, list(wanted), renders)


def _striking(wanted: Sequence[str]) -> NDArray[np.float32]:
    """A crop of each photograph."""
    crops = Crops(200, seed=12, size=96)
    return np.stack([crops[_widest(crops, crops.classes.index(name))][0] for name in wanted])


def _widest(crops: Crops, label: int) -> int:
    """The crop of a class with the most contrast: it has the most to lose."""
    indices: Sequence[int] = np.flatnonzero(crops.labels == label).tolist()
    return max(indices, key=lambda index: float(crops[index][0].std()))
