"""The figures of an atlas in one place, by layer and level: what it holds, and how far each part of it can be trusted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.labelling import Labels
from phosphene.types import Floats

__all__ = ["PERCENTILES", "IconFigures", "LabelFigures", "LayerFigures", "LevelFigures", "Summary", "summarise"]

PERCENTILES = (5, 25, 50, 75, 95)
"""Of the stretch."""


@dataclass(frozen=True)
class IconFigures:
    """How well the icons of a level show what they are of; see `phosphene.atlas.icon_set.Icons`.

    Attributes
    ----------
    icons : int
    fidelity : float
        Median cosine between the activation of an icon and the mean that it was made for.
    fidelity_low : float
        The same of the least faithful twentieth: the fifth percentile.
    own_nearest : float
        Share of icons whose activation is nearer to the mean of its own group than to that of any other.
    own_in_five : float
        Share for which the own group is among the five nearest.
    evaluations : float
        Median of the gradient evaluations that an icon took.
    at_split_half : float
        Share of icons that are at least as faithful as two halves of the points are alike: no picture can be asked for more.
        Of groups that are a whole cell; NaN where none of these has points enough.
    compared : int
        Icons on which that rests.
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
    """What the labels of a level are worth; see `phosphene.atlas.labelling.Labels`.

    Attributes
    ----------
    source : str
        What they rest on: "attributions" or "logits".
    claimed : float
        Share of groups that have a label; of the others the strongest class is not surely the strongest.
    purity : float
        Mean share of points of a group with a label for which the network's own answer is that label; NaN where it is not known.
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
        Cells along a side.
    cells : int
        Those that are not empty.
    used : int
        Those with points enough to be kept.
    points : float
        Share of all points that lie in these.
    density : float
        Median number of points of a kept cell.
    groups : int
        Parts of the kept cells: more than cells, where some mix directions and were taken apart.
    split_half : float
        Median cosine of the means of two random halves of a cell's points; NaN where no cell has enough.
    clusters : int or None
        Named regions; None where there was no clustering.
    icons : IconFigures or None
        None where there are no icons.
    labels : LabelFigures or None
        None where neither attributions nor logits were collected.
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
        Points outside the frame, which are in no cell.
    left_out : int
        Points that were infinite or NaN in this layer, and so are nowhere.
    method : str
        Of the layout.
    neighbours : int
        How many neighbours of a point counted for the three figures that follow.
    exact : bool
        Whether these neighbours are surely the nearest.
    trustworthiness, continuity, recall : float
        See `phosphene.atlas.measures.Measures`.
    recall_chance : float
        What the recall of a map by chance would be.
    stretch : tuple of float
        Percentiles 5, 25, 50, 75 and 95 of how much wider the map draws a point's surroundings than the median point's, as a
        logarithm to base 2.
    condition, raw_condition : float
        Of the second moment, with the ridge of the whitening and without: largest over smallest eigenvalue.
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
        """The figures of the level with so many cells along a side; KeyError where there is none."""
        return {each.size: each for each in self.levels}[size]


@dataclass(frozen=True)
class Summary:
    """The figures of an atlas.

    Attributes
    ----------
    identity : str
        Of the atlas; see `Atlas.identity`.
    network : str
        Name of the model, where it is known.
    data : str
        What the points are of, where it is known.
    date : str
        When the points were collected.
    points, images : int
        Points, and how many different images they are of.
    layers : tuple of LayerFigures
        Those that were charted.
    """

    identity: str
    network: str
    data: str
    date: str
    points: int
    images: int
    layers: tuple[LayerFigures, ...]

    def plain(self) -> dict[str, Any]:
        """All of it as plain JSON; what is NaN or infinite, and so not known, is None."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def summarise(atlas: Atlas) -> Summary:
    """The figures of an atlas, of all its layers that were charted.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    Summary
        Steps that were not run leave None.
    """
    manifest, names = atlas.store.manifest, set(atlas.steps.names)
    data = manifest.identity.get("data", "")
    images = atlas.images()
    layers = tuple(_layer(atlas, layer, names) for layer in atlas.layers if f"measures.{layer}" in names)
    return Summary(
        atlas.identity, str(manifest.notes.get("network", "")), data if isinstance(data, str) else "",
        str(manifest.notes.get("date", "")), len(images), len(np.unique(images)), layers,
    )  # fmt: skip


def _layer(atlas: Atlas, layer: str, names: set[str]) -> LayerFigures:
    grid, measures, whitening, graph = (
        atlas.grid(layer), atlas.measures(layer), atlas.whitening(layer), atlas.neighbours(layer)
    )  # fmt: skip
    many = len(grid.points)
    good = measures.point_stretch[np.isfinite(measures.point_stretch)]
    stretch = np.percentile(good, PERCENTILES).tolist() if len(good) else [math.nan] * len(PERCENTILES)
    return LayerFigures(
        layer, many, len(whitening.values), int(grid.outliers.sum()), atlas.left_out.get(layer, 0),
        atlas.layout(layer).method, measures.neighbours, graph.exact, measures.trustworthiness, measures.continuity,
        measures.recall, measures.neighbours / max(1, many - 1), tuple(stretch), whitening.condition,
        whitening.raw_condition, tuple(_level(atlas, layer, level, names) for level in grid.levels),
    )  # fmt: skip


def _level(atlas: Atlas, layer: str, level: Level, names: set[str]) -> LevelFigures:
    halves = atlas.cell_measures(layer, level.size)["split_half"]
    kept = level.counts[level.kept]
    has_icons = any(name.startswith(f"icons.{layer}.{level.size}.") for name in names)
    return LevelFigures(
        level.size, len(level.counts), int(level.kept.sum()), float(kept.sum() / max(1, len(level.cell_of))),
        float(np.median(kept)) if len(kept) else 0.0, int(level.kept[level.group_cells].sum()), _median(halves),
        len(atlas.clusters(layer, level.size).names) if f"clusters.{layer}" in names else None,
        _icons(atlas.icons(layer, level.size), level, halves) if has_icons else None,
        _labels(atlas.labels(layer, level.size), level) if f"labels.{layer}" in names else None,
    )  # fmt: skip


def _icons(icons: Icons, level: Level, halves: Floats) -> IconFigures | None:
    if not len(icons):
        return None
    cells = level.group_cells[icons.groups]
    # A part of a cell has other halves than the cell, and these were not measured.
    whole = np.bincount(level.group_cells, minlength=len(level.counts))[cells] == 1
    judged = whole & np.isfinite(halves[cells])
    reached = icons.fidelity[judged] >= halves[cells][judged]
    return IconFigures(
        len(icons), float(np.median(icons.fidelity)), float(np.percentile(icons.fidelity, 5)),
        float((icons.rank == 1).mean()), float((icons.rank <= 5).mean()), float(np.median(icons.evaluations)),
        float(reached.mean()) if len(reached) else math.nan, len(reached),
    )  # fmt: skip


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
    """Plain JSON, without NaN and infinity, for which it has no words."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
