"""Measure the quality of each recipe's pictures, for classes and channels of the embedded network.

``python benchmarks/quality.py [--backend torch jax] [--presets default lucid ...] [--channels 64] [--seeds 2] [--vit FILE]``

``--tune`` uses the even channels and writes nothing.

The columns were fixed before anything was tuned:

``clean``, ``robust``
    Value of the picture, and its mean over sixteen held-out transforms, as percentiles of the unit's values on 1,000 crops.
``margin``
    The robust value as a z-score with respect to these values, since percentiles end at 100.
``rank``
    Rank of the unit among all units of its layer on the picture, by z-scores with respect to natural values; 1 is the best.
``witness``
    Fraction of class pictures to which another network, for which nothing was optimised, assigns that class.
``slope``
    Difference between the spectral slopes of the picture and of the crops.
``consistency``
    How much more similar the pictures of one unit are over seeds than those of different units, as d', in the last stage of the
    witness.

Even channels are for tuning (see ``--tune``); results are for odd channels and classes. Recipes are ranked in each column, and
``mean rank`` is the mean of these ranks. ``--vit`` names the weights of the small vision transformer that
``examples/train_on_photographs.py vit`` trains, on which nothing was tuned.

Results are written to ``benchmarks/results/pictures``, one file per network and backend, from which ``docs/quality.md`` is made;
``--page`` only makes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS as ALL_RESULTS
from common import device, versions
from numpy.typing import NDArray

import phosphene as ph
from phosphene.backend import Network
from phosphene.data.crops import Crops
from phosphene.rendering.presets import preset_named, preset_names
from phosphene.trust import robust_values, spectral_slope
from phosphene.trust.scores import percentiles

ROOT = Path(__file__).parents[1]
RESULTS = ALL_RESULTS / "pictures"
COLUMNS = {"clean": 1, "robust": 1, "margin": 1, "rank": -1, "witness": 1, "slope": -1, "consistency": 1}
"""1 if larger is better, -1 if smaller is better."""

CROPS, SIZE = 1000, 64
SNAPSHOTS = 16
LAYERS = {"specimen": ("stage2", "stage3"), "vit": ("blocks.2", "blocks.3")}
NAMES = {"specimen": "The embedded network", "vit": "A small vision transformer, on which nothing was tuned"}
FEWER = {"maco": 4}
"""Recipes that are measured on every fourth unit, since they take 8,192 gradient evaluations per picture."""

Floats = NDArray[np.float64]


class Judge:
    """The network, the witness, and their values on crops of the photographs."""

    def __init__(self, network: Network, layers: Sequence[str], channels: int, tune: bool) -> None:
        self.network, self.layers = network, tuple(layers)
        self.witness = ph.load("specimen-witness", backend=network.backend.name)
        crops = Crops(CROPS, seed=11).images()
        self.natural = {path: self.read(crops, path) for path in (*self.layers, "output")}
        self.slope = float(np.median([spectral_slope(image) for image in crops]))
        wanted = [
            (path, index)
            for path in self.layers
            for index in range(channels // len(self.layers))
            if index % 2 == (not tune)
        ]
        classes = [] if tune else [("output", index) for index in range(self.natural["output"].shape[1])]
        self.units = classes + wanted
        self.objectives = [
            ph.logit(index) if path == "output" else ph.channel(path, index) for path, index in self.units
        ]
        self.own = np.stack([self.natural[path][:, index] for path, index in self.units])

    def every(self, step: int) -> Judge:
        """Return the same judge for every `step`-th unit."""
        fewer = copy(self)
        fewer.units, fewer.objectives, fewer.own = self.units[::step], self.objectives[::step], self.own[::step]
        return fewer

    def read(self, images: Any, path: str) -> Floats:
        """A layer of the network, each channel averaged over positions, ``(N, C)``."""
        found = ph.activations(self.network, images, path)[path]
        return found.reshape(len(found), -1, found.shape[-1]).mean(axis=1).astype(np.float64)

    def pictures(self, preset: str, seeds: int, steps: int | None, snapshots: int = 0) -> list[ph.Renders]:
        """Of all units, a result a seed."""
        return [
            ph.render(
                self.network,
                self.objectives,
                size=SIZE,
                preset=preset,
                seed=seed,
                steps=steps,
                snapshots=snapshots,
                progress=False,
            )
            for seed in range(seeds)
        ]

    def judge(self, runs: Sequence[ph.Renders]) -> dict[str, float]:
        """All columns, over units and seeds."""
        rows = [self.figures(run.images) for run in runs]
        found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return {**found, "consistency": self.consistency([run.images for run in runs])}

    def figures(self, images: NDArray[np.float32]) -> dict[str, float]:
        """What is told of one picture a unit."""
        robust = robust_values(self.network, self.objectives, images)
        seen = {path: self.read(images, path) for path in self.natural}
        clean = np.asarray([seen[path][row, index] for row, (path, index) in enumerate(self.units)])
        rank = []
        for row, (path, index) in enumerate(self.units):
            natural = self.natural[path]
            scores = (seen[path][row] - natural.mean(axis=0)) / (natural.std(axis=0) + 1e-9)
            rank.append(1.0 + float((scores > scores[index]).sum()))
        verdicts = ph.activations(self.witness, images, "output")["output"].argmax(axis=1)
        named = [float(verdicts[row] == index) for row, (path, index) in enumerate(self.units) if path == "output"]
        return {
            "clean": float(percentiles(clean, self.own).mean()),
            "robust": float(percentiles(robust, self.own).mean()),
            "margin": float(((robust - self.own.mean(axis=1)) / self.own.std(axis=1)).mean()),
            "rank": float(np.mean(rank)),
            "witness": float(np.mean(named)) if named else float("nan"),
            "slope": float(np.nanmean([abs(spectral_slope(image) - self.slope) for image in images])),
        }

    def consistency(self, runs: Sequence[NDArray[np.float32]]) -> float:
        """Return the similarity of pictures of one unit relative to that of different units of one layer, as d'."""
        vectors = []
        for images in runs:
            cells = ph.activations(self.witness, images, "stage3")["stage3"].mean(axis=(1, 2)).astype(np.float64)
            vectors.append(cells / np.linalg.norm(cells, axis=1, keepdims=True))
        same, other = [], []
        layers = np.asarray([path for path, _ in self.units])
        alike = (layers[:, None] == layers[None]) & ~np.eye(len(layers), dtype=bool)
        for one in range(len(runs)):
            for two in range(one):
                cosine = vectors[one] @ vectors[two].T
                same += np.diag(cosine).tolist()
                other += cosine[alike].tolist()
        if not same:
            return float("nan")
        return float((np.mean(same) - np.mean(other)) / np.sqrt((np.var(same) + np.var(other)) / 2))

    def on_the_way(self, runs: Sequence[ph.Renders]) -> list[dict[str, float]]:
        """Return the columns, and the number of steps, for each snapshot of the ascent."""
        rows = []
        for number in range(len(runs[0].snapshots if runs[0].snapshots is not None else ())):
            found = [
                self.figures(run.snapshots[number].astype(np.float32) / 255)
                for run in runs
                if run.snapshots is not None
            ]
            total = len(runs[0].history)
            steps = min(total, -(-total // SNAPSHOTS) * (number + 1))
            rows.append({"steps": steps, **{name: float(np.mean([row[name] for row in found])) for name in found[0]}})
        return rows


def mean_ranks(table: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the mean over columns of each recipe's rank; equal values share their rank."""
    places: dict[str, list[float]] = {name: [] for name in table}
    for column, sign in COLUMNS.items():
        values = {name: sign * row[column] for name, row in table.items() if np.isfinite(row[column])}
        for name, value in values.items():
            better = sum(other > value for other in values.values())
            equal = sum(other == value for other in values.values())
            places[name].append(1 + better + (equal - 1) / 2)
    return {name: float(np.mean(own)) for name, own in places.items()}


def evaluations(preset: str, steps: int | None) -> int:
    """Return the number of gradient evaluations per picture."""
    recipe = preset_named(preset, (SIZE, SIZE), (SIZE, SIZE))
    return (steps or recipe.steps) * recipe.views


def measure(given: argparse.Namespace, backend: str) -> None:
    """Measure the given recipes, and add the results of each to the file as soon as it is done."""
    if given.vit is None:
        name, network = "specimen", ph.load("specimen", backend=backend)
    else:
        sys.path.append(str(ROOT / "examples"))
        import train_on_photographs

        name, network = "vit", train_on_photographs.network("vit", Path(given.vit))
        backend = "torch"
    judge = Judge(network, LAYERS[name], given.channels, given.tune)
    target = RESULTS / f"quality_{name}_{backend}.json"
    found: dict[str, Any] = {"rows": {}}
    if target.exists() and not given.tune:
        found = json.loads(target.read_text())
    for preset in given.presets:
        judging = judge.every(FEWER.get(preset, 1))
        runs = judging.pictures(preset, given.seeds, given.steps, SNAPSHOTS if preset == "default" else 0)
        row: dict[str, Any] = {
            "units": len(judging.units),
            "evaluations": evaluations(preset, given.steps),
            **judging.judge(runs),
        }
        shown = "  ".join(f"{key} {value:.3g}" for key, value in row.items())
        print(f"{backend} {preset:10} {shown}", flush=True)
        if preset == "default":
            row["on_the_way"] = judging.on_the_way(runs)
        found["rows"][preset] = row
        if not given.tune:
            about = {
                "units": len(judge.units),
                "seeds": given.seeds,
                "pixels": SIZE,
                "device": device()["machine"],
                "versions": versions(backend),
                "date": datetime.now(UTC).date().isoformat(),
            }
            target.write_text(json.dumps({**found, **about}, indent=1) + "\n")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument("--presets", nargs="+", choices=preset_names(), default=list(preset_names()))
    parser.add_argument("--channels", type=int, default=64, help="Number of channels; half of them are for tuning.")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, help="Steps per picture (default: those of the recipe).")
    parser.add_argument("--tune", action="store_true", help="Use the even channels, and write nothing.")
    parser.add_argument("--vit", help="Weights of the vision transformer, to be measured instead (PyTorch).")
    parser.add_argument("--page", action="store_true", help="Only make the page from earlier results.")
    given = parser.parse_args()
    if not given.page:
        for backend in given.backend[: 1 if given.vit else None]:
            measure(given, backend)
    if not given.tune:
        (ROOT / "docs" / "quality.md").write_text(page())


HEAD = """# Quality of pictures by recipe

This page is made by `python benchmarks/quality.py`, which defines each column; the columns were fixed before any tuning. The units
are classes, and the odd channels of the last two stages; even channels are for tuning. Recipes are sorted by their mean rank over
the columns.
"""


def page() -> str:
    """Return the page, with one table per network and backend."""
    lines = [HEAD]
    for name, title in NAMES.items():
        for path in sorted(RESULTS.glob(f"quality_{name}_*.json"), reverse=True):
            found, backend = json.loads(path.read_text()), path.stem.rpartition("_")[2]
            ranks = mean_ranks(found["rows"])
            told = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
            lines += [
                f"## {title}: {backend}",
                "",
                f"{found['units']} units, {found['seeds']} seeds, {found['pixels']} px; {found['date']}, {found['device']}; "
                f"{told}.",
                "",
                f"| recipe | evaluations | {' | '.join(COLUMNS)} | mean rank |",
                "|---|" + "---|" * (len(COLUMNS) + 2),
            ]
            for preset, row in sorted(found["rows"].items(), key=lambda pair: ranks[pair[0]]):
                cells = " | ".join("" if np.isnan(row[column]) else f"{row[column]:.3g}" for column in COLUMNS)
                fewer = f" ({row['units']} units)" if row.get("units", found["units"]) < found["units"] else ""
                lines.append(f"| {preset}{fewer} | {row['evaluations']} | {cells} | {ranks[preset]:.2f} |")
            lines += ["", *_against_lucid(found["rows"])]
    return "\n".join(lines)


def _against_lucid(rows: dict[str, Any]) -> list[str]:
    """Return after how many gradient evaluations the default recipe reaches the final margin of lucid."""
    if "lucid" not in rows or "default" not in rows:
        return []
    lucid, way = rows["lucid"], rows["default"]["on_the_way"]
    reached = [row for row in way if row["margin"] >= lucid["margin"]]
    if not reached:
        best = max(row["margin"] for row in way)
        return [
            f"The default recipe does not reach lucid's final margin of {lucid['margin']:.3g}; its best is {best:.3g}.",
            "",
        ]
    row = reached[0]
    share = row["steps"] / lucid["evaluations"]
    return [
        f"The default recipe reaches lucid's final margin after {row['steps']} gradient evaluations, {share:.2f} of lucid's "
        f"{lucid['evaluations']}; its rank is then {row['rank']:.3g} (lucid: {lucid['rank']:.3g}), and its slope differs by "
        f"{row['slope']:.3g} (lucid: {lucid['slope']:.3g}).",
        "",
    ]


if __name__ == "__main__":
    main()
