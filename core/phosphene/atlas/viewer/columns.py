"""The data of a layer for the page: columns and pictures of its cells and groups. Steps after the grid are optional."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.clustering import Clusters
from phosphene.atlas.evidence import Evidence, network_evidence
from phosphene.atlas.viewer.cell_pictures import Pictured, colour_cells, picture_cells
from phosphene.atlas.viewer.groups import group_columns
from phosphene.atlas.viewer.nearness import evidence_of_cells, nearest_cells
from phosphene.atlas.viewer.sprites import ACROSS, Sheet
from phosphene.errors import InvalidParameter

__all__ = ["Columns", "Gathered", "default_crop", "gather", "there"]

Columns = dict[str, NDArray[Any]]
Step = TypeVar("Step")

DEFAULT_CROP = 0.625
"""Central share of an icon's side that is shown if the layer's window is not known."""

HEAT = 8_000_000
"""Maximum number of evidence values (cells times classes) per layer; finer levels use those of the next coarser level."""

NONE = 65535
"""First coordinate of points outside the map."""


@dataclass
class Gathered:
    """The data of a layer.

    Attributes
    ----------
    facts : dict
        Entry of the layer in the manifest, as plain JSON.
    columns : dict of str to numpy.ndarray
    sheets : list of Sheet
    """

    facts: dict[str, Any]
    columns: Columns
    sheets: list[Sheet] = field(default_factory=list)


def there(read: Callable[..., Step], *arguments: object) -> Step | None:
    """The result of a step, or None if it was not run."""
    try:
        return read(*arguments)
    except InvalidParameter:
        return None


def default_crop(atlas: Atlas, layer: str) -> float:
    """Share of an icon that corresponds to the size of the layer's real patches, or 0.625 if there are none."""
    patches, icons = None, None
    for level in atlas.grid(layer).levels:
        patches = patches or there(atlas.patches, layer, level.size)
        icons = icons or there(atlas.icons, layer, level.size)
    if patches is None or icons is None or not len(patches.boxes) or not len(icons):
        return DEFAULT_CROP
    side = float(np.median(patches.boxes[:, 1] - patches.boxes[:, 0]))
    return float(np.clip(side / min(icons.images.shape[1:3]), 0.3, 1.0))


def gather(atlas: Atlas, layer: str, index: int, crop: float) -> Gathered:
    """Collect the data of a layer.

    Parameters
    ----------
    atlas : Atlas
        An atlas with a map of the layer.
    layer : str
    index : int
        Index of the layer in the page, which is part of the names of its blocks.
    crop : float
        Central share of an icon's side that is shown.

    Returns
    -------
    Gathered
    """
    grid, measures = atlas.grid(layer), there(atlas.measures, layer)
    scale = 65520 // grid.levels[-1].size * grid.levels[-1].size
    columns = _points(grid, scale)
    facts: dict[str, Any] = {
        "name": layer,
        "scale": scale,
        "outliers": int(grid.outliers.sum()),
        "levels": [],
        "width": int(grid.levels[0].means.shape[1]),
        "window": round(crop, 4),
    }
    if measures is not None:
        facts["measures"] = {
            name: round(float(getattr(measures, name)), 4) for name in ("trustworthiness", "continuity", "recall")
        }
    evidence, room = _evidence(atlas, layer), HEAT
    if evidence is not None:
        facts["evidence"] = evidence.source
    found = Gathered(facts, columns)
    numbers = np.unique(atlas.images(), return_inverse=True)[1].astype(np.int64)
    pictured = Pictured(index)
    for depth, level in enumerate(grid.levels):
        room -= len(level.counts) * (len(evidence.classes) if evidence is not None else 0)
        own, known = _level(atlas, layer, level, pictured, crop, depth, numbers, evidence if room >= 0 else None)
        columns |= {f"{level.size}.{name}": values for name, values in own.items()}
        facts["levels"].append(known)
    facts["patches"] = pictured.patch_facts()
    found.sheets = pictured.sheets()
    return found


def _points(grid: Grid, scale: int) -> Columns:
    """Coordinates of the points, quantised so that rounding moves no point to another cell."""
    place = np.floor(grid.points * scale).clip(0, scale - 1).astype(np.uint16)
    place[grid.outliers] = NONE
    return {"x": place[:, 0], "y": place[:, 1]}


def _evidence(atlas: Atlas, layer: str) -> Evidence | None:
    names = atlas.store.names
    attributions = atlas.attributions(layer) if f"attribution.{layer}" in names else None
    logits = atlas.logits() if "logits" in names else None
    if attributions is None and logits is None:
        return None
    return network_evidence(attributions, logits, atlas.images(), atlas.classes)


def _level(
    atlas: Atlas,
    layer: str,
    level: Level,
    pictured: Pictured,
    crop: float,
    depth: int,
    numbers: NDArray[np.int64],
    evidence: Evidence | None,
) -> tuple[Columns, dict[str, Any]]:
    cells = _shown(level)
    row, column = level.cells[cells].T
    measures = there(atlas.cell_measures, layer, level.size) or {}
    clusters = there(atlas.clusters, layer, level.size)
    nowhere = np.full(len(level.counts), np.nan)
    columns: Columns = {
        "row": narrow(row),
        "column": narrow(column),
        "count": narrow(level.counts[cells]),
        "images": narrow(_images(level, numbers)[cells]),
        "near": narrow(nearest_cells(level.means[cells])),
        **{name: thousandths(measures.get(name, nowhere)[cells]) for name in ("recall", "stretch", "split_half")},
    }
    facts: dict[str, Any] = {"size": level.size, "cells": len(cells)}
    if clusters is not None:
        columns["cluster"] = narrow(_majority(level, clusters)[cells])
        facts["clusters"] = [
            [name, int(count), round(float(x), 4), round(float(y), 4), int(parent), int(claimed)]
            for name, count, (x, y), parent, claimed in zip(
                clusters.names, clusters.counts, clusters.places, clusters.parents, clusters.claimed, strict=True
            )
        ]
    if evidence is not None:
        heat = evidence_of_cells(evidence, level)[cells]
        most = float(np.abs(heat).max(initial=0)) or 1.0
        columns["heat"], facts["heat"] = np.round(heat / most * 127).astype(np.int8), float(f"{most:.4g}")
    icons, labels = there(atlas.icons, layer, level.size), there(atlas.labels, layer, level.size)
    groups = group_columns(level, cells, icons, labels or there(atlas.text_labels, layer, level.size))
    if labels is None and groups.names:
        facts["texts"] = list(groups.names)
    patches = there(atlas.patches, layer, level.size)
    columns |= groups.columns | picture_cells(pictured, level, cells, groups, icons, patches, crop, depth, facts)
    if not columns["kind"].any():
        columns["colour"], facts["colours"] = colour_cells(columns, "texts" in facts)
    return columns, facts


def _shown(level: Level) -> NDArray[np.int64]:
    """Indices of the shown cells, sorted by block of the map, so that each sheet covers one block."""
    cells = np.flatnonzero(level.kept)
    cells = cells if len(cells) else np.arange(len(level.counts))
    row, column = level.cells[cells].T.astype(np.int64)
    order: NDArray[np.int64] = cells[np.lexsort((column, row, column // ACROSS, row // ACROSS))]
    return order


def _images(level: Level, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of distinct images of each cell."""
    owner = np.repeat(np.arange(len(level.counts)), level.counts)
    keys = np.unique(owner * (int(numbers.max(initial=0)) + 1) + numbers[level.members])
    return np.bincount(keys // (int(numbers.max(initial=0)) + 1), minlength=len(level.counts))


def _majority(level: Level, clusters: Clusters) -> NDArray[np.int64]:
    """The cluster of most points of each cell."""
    owner = np.repeat(np.arange(len(level.counts)), level.counts)
    keys, counts = np.unique(owner * len(clusters.counts) + clusters.cluster_of[level.members], return_counts=True)
    order = np.lexsort((keys, -counts, keys // len(clusters.counts)))
    cells, first = np.unique(keys[order] // len(clusters.counts), return_index=True)
    found = np.zeros(len(level.counts), np.int64)
    found[cells] = keys[order][first] % len(clusters.counts)
    return found


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Non-negative integers in the smallest unsigned dtype that holds them."""
    most = int(values.max(initial=0))
    return values.astype(np.uint8 if most < 256 else np.uint16 if most < 65536 else np.uint32)


def thousandths(values: NDArray[np.floating]) -> NDArray[np.int16]:
    """Numbers between -32 and 32 as int16 in thousandths; -32768 stands for NaN."""
    found: NDArray[np.int16] = np.round(np.nan_to_num(values, nan=0.0) * 1000).clip(-32767, 32767).astype(np.int16)
    found[~np.isfinite(values)] = -32768
    return found
