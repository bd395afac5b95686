"""The figures of an atlas by layer and level: its size, and measures of how far to trust it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.labels import Labels
from phosphene.types import Floats

__all__ = ["PERCENTILES", "IconFigures", "LabelFigures", "LayerFigures", "LevelFigures", "Summary", "summarise"]

PERCENTILES = (5, 25, 50, 75, 95)
"""Percentiles of the stretch."""


@dataclass(frozen=True)
class IconFigures:
    """How faithful the icons of a level are; see `phosphene.atlas.icon_set.Icons`.

    Attributes
    ----------
    icons : int
        Number of icons.
    fidelity : float
        Median cosine between the activation of an icon and the mean of its group.
    fidelity_low : float
        5th percentile of that cosine.
    own_nearest : float
        Share of icons whose activation is nearer to the mean of their own group than to that of any other.
    own_in_five : float
        Share of icons whose own group is among the five nearest.
    evaluations : float
        Median number of gradient evaluations per icon.
    at_split_half : float
        Share of icons whose fidelity is at least the cosine between the means of two random halves of their points, which is
        as much as can be expected of a picture. Computed for groups that are a whole cell; NaN if none has enough points.
    compared : int
        Number of icons in that comparison.
    """

    icons: int
    fidelity: float
    fidelity_low: float
    own_nearest: float
    own_in_five: float
    evaluations: float
    at_split_half: float
    compared: int


@dataclass(frozen=True)
class LabelFigures:
    """How many groups of a level have a label, and how pure they are; see `phosphene.atlas.labels.Labels`.

    Attributes
    ----------
    source : str
        The evidence behind the labels: "attributions" or "logits".
    claimed : float
        Share of groups with a reliable label.
    purity : float
        Mean share of the points of a labelled group for which the network predicts the label; NaN if it is not known.
    """

    source: str
    claimed: float
    purity: float


@dataclass(frozen=True)
class LevelFigures:
    """One level of the map of a layer.

    Attributes
    ----------
    size : int
        Cells per side.
    cells : int
        Number of non-empty cells.
    used : int
        Number of cells with enough points to be kept.
    points : float
        Share of all points that lie in kept cells.
    density : float
        Median number of points per kept cell.
    groups : int
        Number of groups of the kept cells; more than cells if some were split.
    split_half : float
        Median cosine between the means of two random halves of a cell's points; NaN if no cell has enough.
    clusters : int or None
        Number of named regions; None without clusters.
    icons : IconFigures or None
        None without icons.
    labels : LabelFigures or None
        None if neither attributions nor logits were collected.
    """

    size: int
    cells: int
    used: int
    points: float
    density: float
    groups: int
    split_half: float
    clusters: int | None
    icons: IconFigures | None
    labels: LabelFigures | None


@dataclass(frozen=True)
class LayerFigures:
    """The map of one layer.

    Attributes
    ----------
    layer : str
    points, channels : int
    outliers : int
        Number of points outside the frame, which belong to no cell.
    left_out : int
        Number of points that were left out because they were infinite or NaN in this layer.
    method : str
        Method of the layout.
    neighbours : int
        Size of the neighbourhoods in trustworthiness, continuity and recall.
    exact : bool
        Whether the search for neighbours was exact.
    trustworthiness, continuity, recall : float
        See `phosphene.atlas.measures.Measures`.
    recall_chance : float
        Expected recall of a random map.
    stretch : tuple of float
        Percentiles 5, 25, 50, 75 and 95 of the stretch of the points, as logarithms to base 2; see
        `phosphene.atlas.measures.Measures`.
    condition, raw_condition : float
        Condition number of the second moment, with and without the ridge of the whitening.
    levels : tuple of LevelFigures
        Coarse to fine.
    """

    layer: str
    points: int
    channels: int
    outliers: int
    left_out: int
    method: str
    neighbours: int
    exact: bool
    trustworthiness: float
    continuity: float
    recall: float
    recall_chance: float
    stretch: tuple[float, ...]
    condition: float
    raw_condition: float
    levels: tuple[LevelFigures, ...]

    def level(self, size: int) -> LevelFigures:
        """The figures of the level with `size` cells per side; raises KeyError if there is none."""
        return {each.size: each for each in self.levels}[size]


@dataclass(frozen=True)
class Summary:
    """The figures of an atlas.

    Attributes
    ----------
    identity : str
        Identity of the atlas; see `Atlas.identity`.
    network : str
        Name of the model; empty if it is not known.
    data : str
        Identity of the data; empty if it is not known.
    date : str
        When the points were collected.
    points, images : int
        Number of points, and of distinct images.
    layers : tuple of LayerFigures
        Layers with a map.
    """

    identity: str
    network: str
    data: str
    date: str
    points: int
    images: int
    layers: tuple[LayerFigures, ...]

    def plain(self) -> dict[str, Any]:
        """All figures as plain JSON; NaN and infinity become None."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def summarise(atlas: Atlas) -> Summary:
    """Summarise an atlas: the figures of all layers with a map.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    Summary
        Figures of steps that were not run are None.
    """
    manifest, names = atlas.store.manifest, set(atlas.steps.names)
    data = manifest.identity.get("data", "")
    images = atlas.images()
    layers = tuple(_layer(atlas, layer, names) for layer in atlas.layers if f"measures.{layer}" in names)
    return Summary(
        atlas.identity,
        str(manifest.notes.get("network", "")),
        data if isinstance(data, str) else "",
        str(manifest.notes.get("date", "")),
        len(images),
        len(np.unique(images)),
        layers,
    )


def _layer(atlas: Atlas, layer: str, names: set[str]) -> LayerFigures:
    grid, measures, whitening, graph = (
        atlas.grid(layer),
        atlas.measures(layer),
        atlas.whitening(layer),
        atlas.neighbours(layer),
    )
    many = len(grid.points)
    good = measures.point_stretch[np.isfinite(measures.point_stretch)]
    stretch = np.percentile(good, PERCENTILES).tolist() if len(good) else [math.nan] * len(PERCENTILES)
    return LayerFigures(
        layer,
        many,
        len(whitening.values),
        int(grid.outliers.sum()),
        atlas.left_out.get(layer, 0),
        atlas.layout(layer).method,
        measures.neighbours,
        graph.exact,
        measures.trustworthiness,
        measures.continuity,
        measures.recall,
        measures.neighbours / max(1, many - 1),
        tuple(stretch),
        whitening.condition,
        whitening.raw_condition,
        tuple(_level(atlas, layer, level, names) for level in grid.levels),
    )


def _level(atlas: Atlas, layer: str, level: Level, names: set[str]) -> LevelFigures:
    halves = atlas.cell_measures(layer, level.size)["split_half"]
    kept = level.counts[level.kept]
    has_icons = any(name.startswith(f"icons.{layer}.{level.size}.") for name in names)
    return LevelFigures(
        level.size,
        len(level.counts),
        int(level.kept.sum()),
        float(kept.sum() / max(1, len(level.cell_of))),
        float(np.median(kept)) if len(kept) else 0.0,
        int(level.kept[level.group_cells].sum()),
        _median(halves),
        len(atlas.clusters(layer, level.size).names) if f"clusters.{layer}" in names else None,
        _icons(atlas.icons(layer, level.size), level, halves) if has_icons else None,
        _labels(atlas.labels(layer, level.size), level) if f"labels.{layer}" in names else None,
    )


def _icons(icons: Icons, level: Level, halves: Floats) -> IconFigures | None:
    if not len(icons):
        return None
    cells = level.group_cells[icons.groups]
    # Split-half stability was measured for whole cells only.
    whole = np.bincount(level.group_cells, minlength=len(level.counts))[cells] == 1
    judged = whole & np.isfinite(halves[cells])
    reached = icons.fidelity[judged] >= halves[cells][judged]
    return IconFigures(
        len(icons),
        float(np.median(icons.fidelity)),
        float(np.percentile(icons.fidelity, 5)),
        float((icons.rank == 1).mean()),
        float((icons.rank <= 5).mean()),
        float(np.median(icons.evaluations)),
        float(reached.mean()) if len(reached) else math.nan,
        len(reached),
    )


def _labels(labels: Labels, level: Level) -> LabelFigures:
    kept = level.kept[level.group_cells]
    claimed = labels.claimed & kept
    purity = labels.purity[claimed]
    known = purity[np.isfinite(purity)]
    return LabelFigures(
        labels.source, float(claimed.sum() / max(1, kept.sum())), float(known.mean()) if len(known) else math.nan
    )


def _median(values: NDArray[np.floating]) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if len(good) else math.nan


def _plain(value: Any) -> Any:
    """Plain JSON, in which NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
