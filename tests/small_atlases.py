"""A small atlas with all steps that need no network, and icons made up for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas import Atlas, ChartSettings, GraphSettings, GridSettings, LayoutSettings, MeasureSettings, chart
from phosphene.atlas.icon_set import step_name
from phosphene.atlas.icons import groups_of

CLASSES = ("coins", "grass", "text")
LAYERS = ("a", "deep/b")
SETTINGS = ChartSettings(
    graph=GraphSettings(20), layout=LayoutSettings("pca"), grid=GridSettings((4, 8)), measures=MeasureSettings(10)
)


def blobs(count: int = 600, seed: int = 0) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Activations of two layers and logits, of three kinds of points; in the second layer two of the kinds are one."""
    random = np.random.default_rng(seed)
    kind = np.arange(count) % 3
    first = 4 * np.eye(8)[kind] + random.normal(size=(count, 8)) * 0.4
    second = 4 * np.eye(5)[np.minimum(kind, 1)] + random.normal(size=(count, 5)) * 0.4
    logits = 3 * np.eye(3)[kind] + random.normal(size=(count, 3)) * 0.5
    layers = {LAYERS[0]: first.astype(np.float32), LAYERS[1]: second.astype(np.float32)}
    return layers, logits.astype(np.float32)


def small_atlas(
    folder: Path, *, icons: int | None = 12, channels: int = 3, charted: bool = True, texts: bool = False
) -> Atlas:
    """An atlas of `blobs`; `icons` is the side of icons in pixels, `texts` gives each point a word."""
    layers, logits = blobs()
    atlas = Atlas.from_activations(layers, folder, logits=logits, attributions={LAYERS[0]: logits}, classes=CLASSES)
    if not charted:
        return atlas
    words = [CLASSES[number % 3] for number in range(600)] if texts else None
    chart(atlas, settings=SETTINGS, texts=words, progress=False)
    if icons is not None:
        for layer in LAYERS:
            for level in atlas.grid(layer).levels:
                _draw(atlas, layer, level.size, icons, channels)
    return atlas


def _draw(atlas: Atlas, layer: str, size: int, side: int, channels: int) -> None:
    level = atlas.grid(layer).level(size)
    groups = groups_of(level)
    random = np.random.default_rng(size)

    def make() -> dict[str, NDArray[np.generic]]:
        seen = level.group_means[groups] + random.normal(size=(len(groups), level.means.shape[1])) * 0.1
        return {
            "groups": groups,
            "images": random.integers(0, 256, (len(groups), side, side, channels)).astype(np.uint8),
            "activations": seen.astype(np.float32),
            "evaluations": np.full(len(groups), 48, np.int32),
            "tries": np.ones(len(groups), np.int32),
        }

    atlas.steps.keep(step_name(layer, size, 0), {"steps": 48}, atlas.steps.read(f"grid.{layer}").identity, make)
