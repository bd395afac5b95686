"""Measure the size of the page of a large atlas, the time to its first picture, and its frame rate.

``python benchmarks/viewer.py [--points 100000] [--max-mb 25] [--keep FOLDER]``

The atlas is synthetic: two layers, clouds of points, levels of 10 to 80 cells per side, one icon per cell, and four patches per
cell up to level 40. Pictures are smooth noise of about the same size in bytes as icons of a real network. The page counts its
own frames during scripted motion in headless Chromium, which renders on the CPU if there is no GPU.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phosphene.atlas import Atlas, GridSettings
from phosphene.atlas.cells import Level
from phosphene.atlas.grids import grid
from phosphene.atlas.icon_set import step_name
from phosphene.atlas.viewer import view

LAYERS = ("middle", "late")
LEVELS = (10, 20, 40, 80)
CLASSES = 40
PATCHES_TO = 40


@dataclass(frozen=True)
class Patches:
    """The fields of `phosphene.atlas.patches.Patches` that the viewer reads."""

    rows: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    boxes: NDArray[np.int64]


class WithPatches(Atlas):
    """An atlas with synthetic patches up to a level."""

    def patches(self, layer: str, size: int) -> Patches | None:
        """Four patches per group."""
        if size > PATCHES_TO:
            return None
        found = self.grid(layer).level(size)
        rows = 4 * np.arange(len(found.group_cells))[:, None] + np.arange(4) + 17 * size
        return Patches(rows % len(self.noise()), self.noise(), np.tile([0, 48, 0, 48], (len(self.noise()), 1)))

    def noise(self) -> NDArray[np.uint8]:
        """Pictures of the patches."""
        if not hasattr(WithPatches, "_noise"):
            WithPatches._noise = smooth(6000, 48, 9)  # type: ignore[attr-defined]
        return WithPatches._noise  # type: ignore[attr-defined,no-any-return]


def smooth(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Smooth noise with some grain, similar to icons."""
    random = np.random.default_rng(seed)
    found = np.empty((count, side, side, 3), np.uint8)
    for number in range(count):
        coarse = Image.fromarray(random.integers(30, 226, (7, 7, 3), np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        grain = Image.fromarray(random.integers(0, 256, (side // 4, side // 4, 3), np.uint8)).resize((side, side))
        found[number] = np.asarray(Image.blend(coarse, grain, 0.16))
    return found


def made_up(folder: Path, points: int) -> Atlas:
    """Build the synthetic atlas."""
    random = np.random.default_rng(0)
    own = random.integers(0, CLASSES, points)
    middles = random.random((CLASSES, 2))
    speaks = ((own[:, None] == np.arange(CLASSES)) * 2 + random.normal(size=(points, CLASSES))).astype(np.float32)
    places = {layer: middles[own] + 0.12 * random.normal(size=(points, 2)) for layer in LAYERS}
    rows = {
        layer: np.concatenate([place, random.normal(size=(points, 14)) * 0.05], axis=1).astype(np.float32) + 1
        for layer, place in places.items()
    }
    atlas = Atlas.from_activations(
        rows,
        folder,
        images=np.arange(points),
        attributions=dict.fromkeys(LAYERS, speaks),
        classes=[f"class {number}" for number in range(CLASSES)],
    )
    for seed, layer in enumerate(LAYERS):
        cut = grid(places[layer], rows[layer], GridSettings(LEVELS, minimum=1, split_below=0))
        kept = atlas.steps.keep(f"grid.{layer}", {}, atlas.identity, cut.arrays)
        labels: dict[str, Any] = {}
        clusters: dict[str, Any] = {}
        for level in cut.levels:
            groups = len(level.group_cells)
            images = smooth(groups, 80, seed)
            icons = {
                "groups": np.arange(groups),
                "images": images,
                "activations": level.group_means,
                "evaluations": np.ones(groups, np.int32),
                "tries": np.ones(groups, np.int32),
            }
            atlas.steps.keep(step_name(layer, level.size, 0), {}, kept.identity, lambda icons=icons: icons)
            labels |= {f"{level.size}.{name}": value for name, value in label_arrays(level, speaks).items()}
            clusters |= {f"{level.size}.{name}": value for name, value in cluster_arrays(own, middles).items()}
        atlas.steps.keep(f"labels.{layer}", {}, kept.identity, lambda labels=labels: labels)
        atlas.steps.keep(f"clusters.{layer}", {}, kept.identity, lambda clusters=clusters: clusters)
    return WithPatches(atlas.folder, atlas.store, atlas.steps)


def label_arrays(level: Level, speaks: NDArray[np.float32]) -> dict[str, Any]:
    """Labels without a bootstrap."""
    means = np.add.reduceat(speaks[level.members], level.group_starts[:-1]) / np.diff(level.group_starts)[:, None]
    order = np.argsort(-means, axis=1)[:, :5]
    evidence = np.take_along_axis(means, order, 1).astype(np.float64)
    margin = evidence[:, 0] - evidence[:, 1]
    return {
        "source": np.array("attributions"),
        "names": np.array([f"class {number}" for number in range(CLASSES)]),
        "classes": order.astype(np.int32),
        "evidence": evidence,
        "margin": margin,
        "interval": np.stack([margin - 0.1, margin + 0.1], axis=1),
        "claimed": margin > 0.1,
        "purity": np.full(len(order), 0.5),
        "rank": np.array(0.9),
    }


def cluster_arrays(own: NDArray[np.int64], middles: NDArray[np.float64]) -> dict[str, Any]:
    """One cluster per class."""
    counts = np.bincount(own, minlength=CLASSES)
    return {
        "names": np.array([f"class {number}" for number in range(CLASSES)]),
        "cluster_of": own.astype(np.int32),
        "counts": counts,
        "parents": np.full(CLASSES, -1, np.int32),
        "peaks": np.zeros(CLASSES, np.int64),
        "places": middles,
        "claimed": np.ones(CLASSES, np.bool_),
        "density": np.zeros(len(own), np.float32),
    }


def measured(path: Path, ratio: float) -> dict[str, Any]:
    """Milliseconds to the first picture, and frames per second."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, device_scale_factor=ratio)
        page.goto(path.as_uri())
        page.locator("#wait").wait_for(state="hidden", timeout=60_000)
        page.wait_for_timeout(1500)
        found: dict[str, Any] = {"marks": page.evaluate("phosphene_atlas.marks")}
        for kind in ("pan", "zoom"):
            page.evaluate(f"phosphene_atlas.measure('{kind}', 2000)")  # decodes what the second run shows
            found[kind] = page.evaluate(f"phosphene_atlas.measure('{kind}', 5000)")
        browser.close()
    return found


def main() -> int:
    """Build the atlas and its page, open it, and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--max-mb", type=float, default=25.0)
    parser.add_argument("--keep", type=Path, help="folder in which to keep the atlas and the page")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        atlas = made_up(folder / "atlas", chosen.points)
        begin = time.perf_counter()
        path = view(atlas, folder / "page.html", max_mb=chosen.max_mb, title="Synthetic", crop=1.0)
        seconds = time.perf_counter() - begin
        beside = list(folder.glob("page.html.files/*.js"))
        cells = sum(len(level.counts) for layer in LAYERS for level in atlas.grid(layer).levels)
        print(f"{chosen.points:,} points, {len(LAYERS)} layers, {cells:,} cells; written in {seconds:.0f} s")
        print(
            f"page {path.stat().st_size / 1e6:.1f} MB of {chosen.max_mb:g}; beside it {len(beside)} files,"
            f" {sum(file.stat().st_size for file in beside) / 1e6:.1f} MB"
        )
        for ratio in (1.0, 2.0):
            found = measured(path, ratio)
            marks = ", ".join(f"{name} {value:.0f} ms" for name, value in found["marks"].items())
            print(f"{ratio:g} pixels a CSS pixel: {marks}")
            for kind in ("pan", "zoom"):
                print(
                    f"  {kind} {found[kind]['perSecond']:.1f} frames a second, 1 in 20 took over {found[kind]['slow']:.0f} ms"
                )
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
