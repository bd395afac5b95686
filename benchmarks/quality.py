"""Judge the pictures of each recipe, on classes and channels of the embedded network.

``python benchmarks/quality.py [--backend torch jax] [--presets default lucid ...] [--channels 64] [--seeds 2] [--tune]``

The columns were fixed before anything was tuned:

``clean``, ``robust``
    Value of the clean picture, and mean over sixteen held-out transforms, as percentiles of the unit's values on 1,000 crops.
``margin``
    The robust value in deviations of these values above their mean, since percentiles end at 100.
``rank``
    Place of the unit among all of its layer on the picture, each in deviations of its own natural values; 1 is the first.
``witness``
    Share of class pictures that another network, which took no part, gives that class.
``slope``
    Distance of the picture's spectral slope from that of the crops.
``consistency``
    How much more alike the pictures of one unit are over seeds than those of different units, in deviations (d'), as the witness's
    last stage sees them.

Channels of even number are for tuning (``--tune`` shows them); what is written are the odd ones and the classes. Recipes are ranked
in each column, and ``mean rank`` is the mean of these ranks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from common import device, versions
from numpy.typing import NDArray

import phosphene as ph
from phosphene.data.crops import Crops
from phosphene.presets import preset_named, preset_names
from phosphene.trust.robustness import robust_values

COLUMNS = {"clean": 1, "robust": 1, "margin": 1, "rank": -1, "witness": 1, "slope": -1, "consistency": 1}
"""1 where more is better, -1 where less is."""

CROPS, SIZE = 1000, 64
LAYERS = ("stage2", "stage3")
Floats = NDArray[np.float64]


class Judge:
    """The network, the witness, and what crops of the photographs say about both."""

    def __init__(self, backend: str, channels: int, tune: bool) -> None:
        self.network, self.witness = (ph.load(name, backend=backend) for name in ("specimen", "specimen-witness"))
        crops = Crops(CROPS, seed=11).images()
        self.natural = {path: self.read(crops, path) for path in (*LAYERS, "output")}
        self.slope = float(np.median([spectral_slope(image) for image in crops]))
        wanted = [
            (path, index) for path in LAYERS for index in range(channels // len(LAYERS)) if index % 2 == (not tune)
        ]
        classes = [] if tune else [("output", index) for index in range(len(self.network.classes or ()))]
        self.units = classes + wanted
        self.objectives = [
            ph.logit(index) if path == "output" else ph.channel(path, index) for path, index in self.units
        ]

    def read(self, images: Any, path: str) -> Floats:
        """A layer of the network, each channel averaged over positions, ``(N, C)``."""
        found = ph.activations(self.network, images, path)[path]
        return found.reshape(len(found), -1, found.shape[-1]).mean(axis=1).astype(np.float64)

    def pictures(self, preset: str, seeds: int, steps: int | None) -> list[ph.Renders]:
        """Of all units, a result a seed."""
        return [
            ph.render(
                self.network, self.objectives, size=SIZE, preset=preset, seed=seed, steps=steps, progress=False
            )
            for seed in range(seeds)
        ]  # fmt: skip

    def judge(self, runs: Sequence[ph.Renders]) -> dict[str, float]:
        """All columns, over units and seeds."""
        rows: dict[str, list[float]] = {name: [] for name in COLUMNS}
        for renders in runs:
            robust = robust_values(self.network, self.objectives, renders.images)
            seen = {path: self.read(renders.images, path) for path in self.natural}
            for number, (path, index) in enumerate(self.units):
                natural = self.natural[path]
                own = natural[:, index]
                rows["clean"].append(100 * float((own < renders.values[number]).mean()))
                rows["robust"].append(100 * float((own < robust[number]).mean()))
                rows["margin"].append(float((robust[number] - own.mean()) / own.std()))
                scores = (seen[path][number] - natural.mean(axis=0)) / (natural.std(axis=0) + 1e-9)
                rows["rank"].append(1.0 + float((scores > scores[index]).sum()))
                rows["slope"].append(abs(spectral_slope(renders.images[number]) - self.slope))
            verdicts = ph.activations(self.witness, renders.images, "output")["output"].argmax(axis=1)
            rows["witness"] += [
                float(verdicts[number] == index) for number, (path, index) in enumerate(self.units) if path == "output"
            ]
        found = {name: float(np.mean(values)) if values else float("nan") for name, values in rows.items()}
        return {**found, "consistency": self.consistency([renders.images for renders in runs])}

    def consistency(self, runs: Sequence[NDArray[np.float32]]) -> float:
        """Similarity of pictures of one unit against that of different units of one layer, in deviations."""
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


def spectral_slope(image: NDArray[np.float32]) -> float:
    """Power of the frequency by which amplitudes of the brightness fall, by least squares from 2 to 24 cycles an image of 64."""
    grey = image.mean(axis=-1).astype(np.float64)
    window = np.hanning(len(grey))[:, None] * np.hanning(grey.shape[1])[None]
    amplitude = np.abs(np.fft.rfft2((grey - grey.mean()) * window))
    frequency = np.hypot(np.fft.fftfreq(len(grey))[:, None], np.fft.rfftfreq(grey.shape[1])[None])
    inside = (frequency > 0.03) & (frequency < 0.375)
    return float(-np.polyfit(np.log(frequency[inside]), np.log(amplitude[inside] + 1e-9), 1)[0])


def mean_ranks(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean over columns of each recipe's place among all; equal figures share theirs."""
    places: dict[str, list[float]] = {name: [] for name in table}
    for column, sign in COLUMNS.items():
        values = {name: sign * row[column] for name, row in table.items() if np.isfinite(row[column])}
        for name, value in values.items():
            better = sum(other > value for other in values.values())
            equal = sum(other == value for other in values.values())
            places[name].append(1 + better + (equal - 1) / 2)
    return {name: float(np.mean(own)) for name, own in places.items()}


def evaluations(preset: str, steps: int | None) -> int:
    """Gradient evaluations a picture."""
    recipe = preset_named(preset, (SIZE, SIZE), (SIZE, SIZE))
    return (steps or recipe.steps) * recipe.views


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument("--presets", nargs="+", choices=preset_names(), default=list(preset_names()))
    parser.add_argument("--channels", type=int, default=64, help="half of them for tuning")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, help="the recipe's own when absent")
    parser.add_argument("--tune", action="store_true", help="the even channels; nothing is written then")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "quality.md")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for backend in given.backend:
        judge, table = Judge(backend, given.channels, given.tune), {}
        for preset in given.presets:
            table[preset] = judge.judge(judge.pictures(preset, given.seeds, given.steps))
            shown = "  ".join(f"{name} {value:.3g}" for name, value in table[preset].items())
            print(f"{backend} {preset:10} {evaluations(preset, given.steps):>6} evaluations  {shown}", flush=True)
        ranks = mean_ranks(table)
        found[backend] = [
            {"preset": name, "evaluations": evaluations(name, given.steps), **row, "mean_rank": ranks[name]}
            for name, row in sorted(table.items(), key=lambda pair: ranks[pair[0]])
        ]
        print("  ".join(f"{row['preset']} {row['mean_rank']:.2f}" for row in found[backend]), flush=True)
        if not given.tune:
            about = f"{len(judge.units)} units, {given.seeds} seeds, {SIZE} px"
            given.out.write_text(page(found, about, given.backend))


HEAD = """# How good are the pictures?

This page is made by `python benchmarks/quality.py`, which tells what each column means; they were fixed before anything was tuned.
What is judged are the classes of the embedded network and channels of odd number of its last two stages; the even ones are for
tuning. Recipes stand in the order of their mean rank over the columns.
"""


def page(found: dict[str, Any], about: str, backends: Sequence[str]) -> str:
    """The page, a table a backend."""
    where = device()
    told = ", ".join(f"{name} {value}" for name, value in versions(*backends).items())
    lines = [HEAD, f"Measured on {datetime.now(UTC).date().isoformat()} ({where['machine']}); {about}; {told}.", ""]
    for backend, rows in found.items():
        lines += [f"## {backend}", "", f"| recipe | evaluations | {' | '.join(COLUMNS)} | mean rank |"]
        lines.append("|---|" + "---|" * (len(COLUMNS) + 2))
        for row in rows:
            cells = " | ".join(f"{row[name]:.3g}" for name in COLUMNS)
            lines.append(f"| {row['preset']} | {row['evaluations']} | {cells} | {row['mean_rank']:.2f} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
