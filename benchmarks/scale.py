"""How the map of an atlas grows with its points: seconds of each step, memory, and the page without pictures.

``python benchmarks/scale.py [--points 20000 200000 1000000] [--channels 128]``

Activations are made up: clouds around sixty directions, through a ReLU. Each size has a process to itself, and so memory of its
own. Icons and patches grow with the cells, not with the points, and are no part of it (see ``atlas.py``).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from phosphene.atlas import Atlas, chart

CLOUDS = 60
CLASSES = 20
STEPS = ("moments", "neighbours", "layout", "grid", "measures", "labels", "clusters")


def made_up(points: int, channels: int, folder: Path) -> Atlas:
    """An atlas that is not charted yet."""
    random = np.random.default_rng(0)
    middles, own = random.normal(size=(CLOUDS, channels)).astype(np.float32), random.integers(0, CLOUDS, points)
    rows = random.standard_normal((points, channels), np.float32)
    rows *= 0.7
    rows += middles[own] + 0.3
    np.maximum(rows, 0, out=rows)
    speaks = random.standard_normal((points, CLASSES), np.float32)
    speaks[np.arange(points), own % CLASSES] += 2
    names = [f"class {number}" for number in range(CLASSES)]
    return Atlas.from_activations({"layer": rows}, folder, images=np.arange(points), logits=speaks, classes=names)


def measured(points: int, channels: int) -> dict[str, float]:
    """Seconds of each step, of the page, megabytes of the page, and gigabytes of memory at most."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        atlas = made_up(points, channels, folder / "atlas")
        last = time.time()
        chart(atlas, progress=False)
        found = {}
        # A step is done when the file is written that vouches for it.
        for step in STEPS:
            done = (folder / "atlas" / "steps" / f"{step}.layer.json").stat().st_mtime
            found[step], last = done - last, done
        begin = time.perf_counter()
        page = atlas.view(folder / "page.html")
        found["page"] = time.perf_counter() - begin
        found["page MB"] = page.stat().st_size / 1e6
        found["memory GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def main() -> int:
    """Measure each size, and say how it grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--channels", type=int, default=128)
    chosen = parser.parse_args()
    before: dict[str, float] = {}
    for points in chosen.points:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measured, (points, chosen.channels))
        total = sum(found[step] for step in STEPS)
        print(f"{points:,} points, {chosen.channels} channels: the map in {total:.0f} s")
        for name, value in found.items():
            grown = f", x{value / before[name]:.1f}" if before.get(name) else ""
            print(f"  {name}: {value:.1f}{grown}")
        sys.stdout.flush()
        before = found
    return 0


if __name__ == "__main__":
    sys.exit(main())
