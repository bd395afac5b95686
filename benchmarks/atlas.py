"""Measure how faithful the map, icons and labels of an atlas are, and compare the cost of an icon with the published recipe.

``python benchmarks/atlas.py [--images 20000] [--icons 64] [--folder DIR] [--backend torch] [--page]``

An atlas of the last two stages of the embedded network is built as by ``phosphene atlas build``, and its measures are read.
Some of its level-20 cells are then inverted by other recipes. All are assessed in the same way: by the cosine between the mean
activation of the cell and the activation of the picture at the central position, without transforms.

``atlas``
    The icon of the atlas.
``alone``
    The same objective from noise, with as many evaluations as an icon of the coarsest level: the benefit of starting from a parent.
``published``
    Carter et al. (2019): 512 evaluations, lucid's transforms, ``(h.v) cos(h, v)^p`` at the centre, where v is the mean in the
    whitened space, for p of 1 and 4; ``raw`` is the same with the mean itself.
``raw, 64 evaluations``
    The raw objective with an eighth of the evaluations, and a jitter of one pixel.
``patch``
    The most typical real patch of the cell, without any ascent.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import RESULTS as ALL_RESULTS
from common import device, versions
from numpy.typing import NDArray

import phosphene as ph
from phosphene.atlas.cells import Level
from phosphene.atlas.partition import directions
from phosphene.backend import Network
from phosphene.data.crops import Crops, parse

ROOT = Path(__file__).parents[1]
RESULTS = ALL_RESULTS / "pictures"
LAYERS = ("stage2", "stage3")
LEVELS = (10, 20, 40)
JUDGED = "stage3"
SIZE = 64


def centre(network: Network, images: NDArray[np.floating], layer: str) -> NDArray[np.float64]:
    """Directions of the activation at the central position, ``(N, C)``."""
    read = ph.activations(network, images.astype(np.float32), layer)[layer]
    return directions(read[:, read.shape[1] // 2, read.shape[2] // 2])


def halves(rows: NDArray[np.float32], level: Level, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine between the means of two random halves of each group, averaged over four splits; NaN below ten points."""
    random, found = np.random.default_rng(0), np.full(len(groups), np.nan)
    for row, group in enumerate(groups):
        members = level.members_of_group(int(group))
        if len(members) < 10:
            continue
        cosines = []
        for _ in range(4):
            shuffled = random.permutation(members)
            ends = np.stack([part.mean(axis=0) for part in np.array_split(rows[shuffled], 2)]).astype(np.float64)
            cosines.append(float(np.prod(directions(ends), axis=0).sum()))
        found[row] = np.mean(cosines)
    return found


def of_icons(atlas: ph.Atlas, layer: str) -> dict[str, Any]:
    """Measures of the icons of a layer, by level and overall."""
    rows, grid, found, everything = atlas.activations(layer), atlas.grid(layer), {}, []
    for level in grid.levels:
        icons = atlas.icons(layer, level.size)
        split = halves(rows, level, icons.groups)
        many = ~np.isnan(split)
        figures = {
            "icons": len(icons),
            "fidelity": float(np.median(icons.fidelity)),
            "own": float(np.mean(icons.rank == 1)),
            "own_of_five": float(np.mean(icons.rank <= 5)),
            "evaluations": float(np.median(icons.evaluations)),
            "mean_evaluations": float(np.mean(icons.evaluations)),
            "split_half": float(np.nanmedian(split)),
            "as_true_as_split_half": float(np.mean(icons.fidelity[many] >= split[many])),
        }
        found[str(level.size)] = figures
        everything.append((icons.fidelity, icons.evaluations, (icons.fidelity >= split)[many]))
    fidelity, evaluations, above = (np.concatenate(parts) for parts in zip(*everything, strict=True))
    found["all"] = {
        "icons": len(fidelity),
        "fidelity": float(np.median(fidelity)),
        "evaluations": float(np.median(evaluations)),
        "as_true_as_split_half": float(np.mean(above)),
    }
    return found


def of_labels(atlas: ph.Atlas, layer: str, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Share of kept groups with a label, and share of these labels that are the majority class of their images."""
    images, found = atlas.images(), {}
    for level in atlas.grid(layer).levels:
        labels = atlas.labels(layer, level.size)
        groups = np.flatnonzero(level.kept[level.group_cells])
        majority = [np.bincount(truth[images[level.members_of_group(int(group))]]).argmax() for group in groups]
        claimed = labels.claimed[groups]
        right = labels.classes[groups, 0] == np.asarray(majority)
        found[str(level.size)] = {
            "groups": len(groups),
            "claimed": float(claimed.mean()),
            "agree": float(right[claimed].mean()),
            "from": labels.source,
            "cells": int(level.kept.sum()),
            "clusters": len(atlas.clusters(layer, level.size).counts),
        }
    return found


def recipes(network: Network, atlas: ph.Atlas, crops: Crops, count: int) -> dict[str, Any]:
    """Compare icons of the same cells by several recipes."""
    level, icons = atlas.grid(JUDGED).level(20), atlas.icons(JUDGED, 20)
    chosen = np.linspace(0, len(icons) - 1, min(count, len(icons))).astype(np.int64)
    means = level.group_means[icons.groups[chosen]].astype(np.float64)
    wanted = directions(means)
    every = directions(level.group_means[icons.groups])
    rows = atlas.activations(JUDGED).astype(np.float64)
    second = rows.T @ rows / len(rows)
    ridge = 1e-2 * np.trace(second) / len(second) * np.eye(len(second))
    whitened = np.linalg.solve(second + ridge, means.T).T
    found: dict[str, Any] = {}

    def judge(name: str, pictures: NDArray[np.floating], evaluations: float) -> None:
        seen = centre(network, pictures, JUDGED)
        cosines = seen @ every.T
        own = cosines[np.arange(len(chosen)), chosen]
        rank = (cosines > own[:, None]).sum(axis=1) + 1
        found[name] = {
            "evaluations": evaluations,
            "fidelity": float(np.median(own)),
            "tenth": float(np.percentile(own, 10)),
            "own": float(np.mean(rank == 1)),
            "own_of_five": float(np.mean(rank <= 5)),
        }
        print(f"  {name}: {found[name]}", flush=True)

    def ascend(vectors: NDArray[np.float64], **options: Any) -> NDArray[np.floating]:
        measure = {name: options.pop(name) for name in ("measure", "cosine_power") if name in options}
        objectives = [ph.direction(JUDGED, vector, at="centre", **measure) for vector in directions(vectors)]
        return ph.render(network, objectives, size=SIZE, progress=False, **options).images

    judge("atlas", icons.images[chosen] / 255, float(np.median(icons.evaluations[chosen])))
    alone: dict[str, Any] = {
        "parameterization": ph.parameterizations.fourier(decay=1.0),
        "regularizers": [ph.regularizers.total_variation(2)],
        "transforms": [],
        "optimizer": ph.optimizers.adam(0.05),
        "steps": 64,
    }
    judge("alone", ascend(means, measure="cosine", **alone), 64)
    for power in (1, 4):
        judge(f"published, p {power}", ascend(whitened, preset="lucid", cosine_power=power), 512)
        judge(f"published, raw, p {power}", ascend(means, preset="lucid", cosine_power=power), 512)
    plain = alone | {"regularizers": [ph.regularizers.total_variation(0.05)], "transforms": [ph.transforms.jitter(1)]}
    judge("raw, 64 evaluations", ascend(means, cosine_power=4, **plain), 64)
    points = atlas.patches(JUDGED, 20).points[icons.groups[chosen], 0]
    own = directions(rows[points])
    typical = np.einsum("nc,nc->n", own, wanted)
    found["patch"] = {
        "evaluations": 0,
        "fidelity": float(np.median(typical)),
        "tenth": float(np.percentile(typical, 10)),
    }
    found["icon_beats_patch"] = float(np.mean(icons.fidelity[chosen] >= typical))
    return found


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Build the atlas, and write its measures."""
    network, crops = ph.load("specimen", backend=given.backend), parse(f"photos:{given.images}")
    stages: dict[str, float] = {}
    last = time.perf_counter()

    def told(state: ph.Progress) -> None:
        nonlocal last
        now = time.perf_counter()
        stages[state.unit] = stages.get(state.unit, 0.0) + now - last
        last = now

    begin = time.perf_counter()
    atlas = ph.Atlas.build(network, f"photos:{given.images}", LAYERS, folder, levels=LEVELS, progress=told)
    seconds = time.perf_counter() - begin
    found: dict[str, Any] = {
        "images": given.images,
        "device": device()["machine"],
        "versions": versions(given.backend),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": seconds,
        "stages": stages,
        "layers": {},
    }
    for layer in LAYERS:
        kept = atlas.measures(layer)
        found["layers"][layer] = {
            "trustworthiness": kept.trustworthiness,
            "continuity": kept.continuity,
            "recall": kept.recall,
            "icons": of_icons(atlas, layer),
            "labels": of_labels(atlas, layer, crops.labels),
        }
        print(layer, json.dumps(found["layers"][layer], indent=1), flush=True)
    found["recipes"] = recipes(network, atlas, crops, given.icons)
    print(f"{seconds:.0f} s", {name: round(value) for name, value in stages.items()})
    if given.images == 20_000:
        (RESULTS / f"atlas_{given.backend}.json").write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=20_000, help="number of images; results are written only for 20000"
    )
    parser.add_argument("--icons", type=int, default=64, help="number of cells that the other recipes invert")
    parser.add_argument("--folder", type=Path, help="folder of the atlas; an existing atlas is reused")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--page", action="store_true", help="write the page from earlier results")
    given = parser.parse_args()
    if not given.page:
        with TemporaryDirectory() as folder:
            measure(given, given.folder or Path(folder))
    (ROOT / "docs" / "atlas-figures.md").write_text(page())


HEAD = """# How faithful is the atlas?

This page is generated by `python benchmarks/atlas.py`, whose docstring describes the measurements. See
[the activation atlas](atlas.md) for an explanation of its parts.
"""


def page() -> str:
    """The page, with the tables of all results."""
    lines = [HEAD]
    for path in sorted(RESULTS.glob("atlas_*.json"), reverse=True):
        found = json.loads(path.read_text())
        told = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
        lines += [
            f"## {path.stem.rpartition('_')[2]}",
            "",
            f"{found['images']:,} crops; {found['date']}, {found['device']}; {told}.",
            "",
            "| layer | trustworthiness | continuity | neighbour recall |",
            "|---|---|---|---|",
            *(
                f"| {layer} | {kept['trustworthiness']:.3f} | {kept['continuity']:.3f} | {kept['recall']:.2f} |"
                for layer, kept in found["layers"].items()
            ),
            "",
            "| layer | level | cells | icons | fidelity | own nearest | own in five | evaluations | split half | at split half "
            "| labelled | majority class |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for layer, kept in found["layers"].items():
            for level, labels in kept["labels"].items():
                icons = kept["icons"][level]
                lines.append(
                    f"| {layer} | {level} | {labels['cells']} | {icons['icons']} | {icons['fidelity']:.3f} | {icons['own']:.0%} | "
                    f"{icons['own_of_five']:.0%} | {icons['evaluations']:g} | {icons['split_half']:.3f} | "
                    f"{icons['as_true_as_split_half']:.0%} | {labels['claimed']:.0%} | {labels['agree']:.0%} |"
                )
        rows = {name: row for name, row in found["recipes"].items() if isinstance(row, dict)}
        lines += [
            "",
            f"Recipes on the same cells of {JUDGED}, level 20:",
            "",
            "| recipe | evaluations | fidelity | 10th percentile | own nearest | own in five |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in rows.items():
            near = f"{row['own']:.0%} | {row['own_of_five']:.0%}" if "own" in row else "|"
            lines.append(f"| {name} | {row['evaluations']:g} | {row['fidelity']:.3f} | {row['tenth']:.3f} | {near} |")
        lines += [
            "",
            f"The icon is at least as faithful as the most typical patch in {found['recipes']['icon_beats_patch']:.0%} of cells.",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
