"""Calibrate the thresholds of trust cards on pictures of known quality.

``python benchmarks/calibration.py [--backend torch jax] [--channels N] [--seeds 3] [--page]``

All channels of the last two stages of the embedded network are rendered in several ways:

``default``
    The default recipe. Thresholds were set so that most even channels are reliable; odd channels were not used.
``random weights``
    The default recipe on a copy with random weights (of the same mean and standard deviation per array).
``noise``
    Gradient ascent on pixels, stopped when it activates the unit as much as the default's picture does.
``stronger noise``
    The same after all steps, when it activates the unit more.
``lucid``
    The published recipe, with three times as many gradient evaluations.

Results are written to ``benchmarks/results/pictures``, one file per backend, from which ``docs/calibration.md`` is made; ``--page``
only makes the page.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
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
from phosphene.trust.verdict import THRESHOLDS

ROOT = Path(__file__).parents[1]
RESULTS = ALL_RESULTS / "pictures"
LAYERS = {"stage2": 64, "stage3": 128}
SIZE, CROPS, SNAPSHOTS = 64, 1000, 24
NOISE: dict[str, Any] = {
    "parameterization": ph.parameterizations.pixel(),
    "transforms": [],
    "regularizers": [],
    "optimizer": ph.optimizers.adam(0.05),
    "steps": 96,
}
FIGURES = (
    "score",
    "natural_score",
    "percentile",
    "robust_percentile",
    "kept",
    "rank",
    "consistency",
    "path",
    "slope",
    "specificity",
)


def randomised(network: Network) -> Network:
    """Return a copy with random weights of the same mean and standard deviation per array; running statistics are kept."""
    rng = np.random.default_rng(0)

    def draw(path: str, array: NDArray[Any]) -> NDArray[Any]:
        if any(word in path for word in ("running_", "mean", "var", "num_batches")) or array.size < 2:
            return array
        drawn: NDArray[Any] = (array.mean() + array.std() * rng.standard_normal(array.shape)).astype(array.dtype)
        return drawn

    return network.with_weights(draw)


class Bench:
    """A network, its units, and images with which pictures are compared."""

    def __init__(self, backend: str, most: int | None, seeds: int) -> None:
        self.network, self.seeds = ph.load("specimen", backend=backend), seeds
        step = 2 if most else 1
        self.units = [
            (layer, index)
            for layer, count in LAYERS.items()
            for index in range(0, min(count, step * (most or count)), step)
        ]
        self.objectives = [ph.channel(layer, index) for layer, index in self.units]
        self.images = Crops(CROPS, seed=41).images()

    def runs(self, network: Network, seeds: int, **options: Any) -> list[ph.Renders]:
        """Render all units, one result per seed."""
        return [
            ph.render(network, self.objectives, size=SIZE, seed=seed, progress=False, **options)
            for seed in range(seeds)
        ]

    def cards(self, runs: Sequence[ph.Renders], network: Network | None = None) -> list[dict[str, Any]]:
        """Return the trust cards as plain data."""
        found = ph.assess(
            network or self.network, runs, self.images, objectives=self.objectives, seeds=len(runs), progress=False
        )
        return [
            {
                "unit": index,
                "layer": layer,
                "word": card.word,
                "low": card.score_interval[0],
                "asked": card.asked,
                "standing": list(card.standing),
                "twin": card.nearest[0][1] if card.nearest else None,
                **{name: getattr(card, name) for name in FIGURES},
            }
            for (layer, index), card in zip(self.units, found, strict=True)
        ]

    def values(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the activation of each unit on its picture."""
        read = ph.activations(self.network, images, list(LAYERS))
        means = {layer: read[layer].mean(axis=(1, 2)) for layer in LAYERS}
        return np.asarray([means[layer][row, index] for row, (layer, index) in enumerate(self.units)], np.float64)

    def as_strong(self, noise: ph.Renders, wanted: NDArray[np.float64]) -> ph.Renders:
        """Return the first snapshots that activate their units as much as wanted, or else the last ones."""
        assert noise.snapshots is not None  # noqa: S101
        frames = noise.snapshots.astype(np.float32) / np.float32(255)
        values = np.stack([self.values(frame) for frame in frames])
        reached = values >= wanted
        first = np.where(reached.any(axis=0), reached.argmax(axis=0), len(frames) - 1)
        rows = np.arange(len(self.units))
        return replace(noise, images=frames[first, rows], values=values[first, rows], snapshots=None)


def measure(backend: str, given: argparse.Namespace) -> None:
    """Assess all kinds of pictures, and write the results of each as soon as it is done."""
    bench = Bench(backend, given.channels, given.seeds)
    target = RESULTS / f"calibration_{backend}.json"
    found: dict[str, Any] = {
        "thresholds": asdict(THRESHOLDS),
        "images": CROPS,
        "seeds": given.seeds,
        "device": device()["machine"],
        "versions": versions(backend),
        "date": datetime.now(UTC).date().isoformat(),
        "cards": {},
    }

    def write(kind: str, cards: list[dict[str, Any]]) -> None:
        found["cards"][kind] = cards
        words = [card["word"] for card in cards]
        counts = ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
        print(f"{backend} {kind}: {counts}; score {np.nanmean([card['score'] for card in cards]):.3f}", flush=True)
        if given.channels is None:
            target.write_text(json.dumps(rounded(found), indent=1) + "\n")

    default = bench.runs(bench.network, given.seeds)
    write("default", bench.cards(default))
    copy = randomised(bench.network)
    write("random weights", bench.cards(bench.runs(copy, 2), copy))
    noise = bench.runs(bench.network, 2, snapshots=SNAPSHOTS, **NOISE)
    found["stronger"] = (noise[0].values > default[0].values).tolist()
    write("noise", bench.cards([bench.as_strong(run, default[0].values) for run in noise]))
    write("stronger noise", bench.cards(noise))
    write("lucid", bench.cards(bench.runs(bench.network, 1, preset="lucid")))


def rounded(plain: Any) -> Any:
    """Round the numbers of plain JSON to five digits."""
    if isinstance(plain, dict):
        return {name: rounded(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [rounded(value) for value in plain]
    return float(f"{plain:.5g}") if isinstance(plain, float) else plain


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument(
        "--channels", type=int, help="Number of even channels of each layer, to set thresholds; nothing is written."
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="Only make the page from earlier results.")
    given = parser.parse_args()
    for backend in [] if given.page else given.backend:
        measure(backend, given)
    if given.channels is None:
        (ROOT / "docs" / "calibration.md").write_text(page())


HEAD = """# Calibration of trust cards

This page is made by `python benchmarks/calibration.py`, which describes each kind of picture. [How to read these
pictures](trust.md) describes the measures of a card. A picture is doubtful beyond the first threshold of a measure, and has failed
beyond the second:
"""


def page() -> str:
    """Return the page, with one table per backend."""
    paths = sorted(RESULTS.glob("calibration_*.json"), reverse=True)
    limits = json.loads(paths[0].read_text())["thresholds"]
    lines = [HEAD, "| measure | doubtful | failed |", "|---|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {one:g} | {two:g} |" for name, (one, two) in limits.items()]
    for path in paths:
        found = json.loads(path.read_text())
        told = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
        lines += [
            "",
            f"## {path.stem.rpartition('_')[2]}",
            "",
            f"{found['images']} crops, {found['seeds']} seeds; {found['date']}, {found['device']}; {told}.",
            "",
            "| pictures | units | reliable | doubtful | failed | pairs told apart | above chance | with the best real image |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for kind, cards in found["cards"].items():
            lines += [_row(kind, part, cards) for part in (("even", "odd") if kind == "default" else ("all",))]
        lines += ["", *_claims(found)]
    return "\n".join(lines) + "\n"


def _row(kind: str, part: str, cards: list[dict[str, Any]]) -> str:
    rows = [card for card in cards if part == "all" or card["unit"] % 2 == (part == "odd")]
    words = [card["word"] for card in rows]
    asked = [card for card in rows if card["asked"]]
    shares = " | ".join(f"{words.count(word) / len(rows):.0%}" for word in ("reliable", "doubtful", "failed"))
    if kind == "lucid":
        shares = "| | "  # there is no verdict for one seed
    above = np.mean([card["low"] > 0.5 for card in asked])
    score, natural = (np.mean([card[name] for card in asked]) for name in ("score", "natural_score"))
    title = kind if part == "all" else f"{kind}, {part} numbers"
    return f"| {title} | {len(rows)} | {shares} | {score:.1%} | {above:.0%} | {natural:.1%} |"


def _claims(found: dict[str, Any]) -> list[str]:
    """Return how often the noise picture has the lower card, among units that it activates more."""
    cards = found["cards"]
    if "stronger noise" not in cards:
        return []
    pairs = [
        (one["standing"], two["standing"])
        for one, two, stronger in zip(cards["default"], cards["stronger noise"], found["stronger"], strict=True)
        if stronger
    ]
    lower = np.mean([two < one for one, two in pairs])
    return [
        f"Noise pictures activate {len(pairs)} of {len(cards['default'])} units more than the pictures of the default recipe do; "
        f"in {lower:.0%} of these cases they have the lower card."
    ]


if __name__ == "__main__":
    main()
