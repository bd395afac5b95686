"""Made-up atlases: activations in a few clouds, a chart by principal components, and icons painted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas import Atlas, ChartSettings, GraphSettings, GridSettings, LayoutSettings, MeasureSettings, chart
from phosphene.atlas.icon_set import step_name

CHANNELS = 8


def small_atlas(
    folder: Path,
    *,
    points: int = 900,
    classes: Sequence[str] = ("sun", "sea", "stone"),
    layers: Sequence[str] = ("early", "late"),
    levels: tuple[int, ...] = (4, 8, 16),
    labels: bool = True,
    icons: bool = True,
    minimum: int = 3,
    seed: int = 0,
) -> Atlas:
    """An atlas with a cloud of points for each class; each image has two points."""
    random = np.random.default_rng(seed)
    own = np.arange(points) % max(1, len(classes))
    middles = 3 * random.normal(size=(max(1, len(classes)), CHANNELS))
    rows: dict[str, NDArray[Any]] = {
        layer: (middles[own] + random.normal(size=(points, CHANNELS)) * (1 + depth)).astype(np.float32) + 4
        for depth, layer in enumerate(layers)
    }
    speaks = (2.0 * (own[:, None] == np.arange(len(classes))) + random.normal(size=(points, len(classes)))).astype(
        np.float32
    )
    atlas = Atlas.from_activations(
        rows,
        folder,
        images=np.arange(points) // 2,
        logits=speaks if labels else None,
        attributions=dict.fromkeys(layers, speaks) if labels else None,
        classes=list(classes) if labels else (),
    )
    count = min(15, points - 1)
    settings = ChartSettings(
        graph=GraphSettings(count),
        layout=LayoutSettings("pca"),
        grid=GridSettings(levels, minimum=minimum, split_below=0.97, split_gain=0.005),
        measures=MeasureSettings(min(10, count)),
    )
    chart(atlas, settings=settings)
    if icons:
        for layer in layers:
            paint_icons(atlas, layer)
    return atlas


def paint_icons(atlas: Atlas, layer: str, side: int = 24) -> None:
    """A soft blot a group, in a colour of its own."""
    grid, cut = atlas.grid(layer), atlas.steps.read(f"grid.{layer}")
    axis = np.linspace(-1, 1, side)
    blot = np.exp(-2 * (axis[:, None] ** 2 + axis[None] ** 2))[..., None]
    for level in grid.levels:
        groups = np.flatnonzero(level.kept[level.group_cells])
        hue = np.stack([groups * 37 % 256, groups * 91 % 256, groups * 53 % 256], axis=1)[:, None, None]
        arrays: Mapping[str, NDArray[Any]] = {
            "groups": groups,
            "images": (blot * hue).astype(np.uint8),
            "activations": level.group_means[groups],
            "evaluations": np.full(len(groups), 8, np.int32),
            "tries": np.ones(len(groups), np.int32),
        }
        atlas.steps.keep(step_name(layer, level.size, 0), {}, cut.identity, lambda arrays=arrays: arrays)


@dataclass(frozen=True)
class _Patches:
    """As many as `phosphene.atlas.patches.Patches` has, of noise."""

    rows: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    boxes: NDArray[np.int64]


class _WithPatches(Atlas):
    def patches(self, layer: str, size: int) -> _Patches:
        groups = len(self.grid(layer).level(size).group_cells)
        random = np.random.default_rng(0)
        pictures = random.integers(0, 256, (50, 12, 12, 3), np.uint8)
        rows = random.integers(0, 50, (groups, 4))
        return _Patches(rows, pictures, np.tile([4, 16, 0, 12], (50, 1)))


def with_patches(atlas: Atlas) -> Atlas:
    """The same atlas, with real patches: four a group out of 50 in all."""
    return _WithPatches(atlas.folder, atlas.store, atlas.steps)
