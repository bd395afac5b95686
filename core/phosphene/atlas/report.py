"""The data of the one-page report of an atlas; `phosphene.atlas.page` renders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.carryover import Carryover, carry_overs
from phosphene.atlas.cells import Level
from phosphene.atlas.clustering import Clusters
from phosphene.atlas.figure import cell_icons, cropped, map_picture, seen_part
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.summary import LayerFigures, Summary, summarise
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import optional_integer
from phosphene.kit.checks import integer
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole
from phosphene.types import Floats

__all__ = ["AtlasReport", "Doubt", "LayerReport", "Region", "report_of", "write_report"]

LEVEL = 20
"""Preferred level, in cells per side: its icons are large enough to see, and its cells small enough."""


@dataclass(frozen=True)
class Region:
    """A named cluster.

    Attributes
    ----------
    name : str
    points : int
    share : float
        Share of all points.
    claimed : bool
        Whether the name is a reliable label.
    place : (float, float)
        Coordinates of its densest point, with the map's frame as the unit square.
    purity : float
        Share of its points for which the network makes the most frequent prediction; NaN without predictions.
    answer : str
        That prediction; empty if there is none.
    fidelity : float
        Median fidelity of the icons of cells whose points are mostly in the cluster; NaN without icons.
    """

    name: str
    points: int
    share: float
    claimed: bool
    place: tuple[float, float]
    purity: float
    answer: str
    fidelity: float


@dataclass(frozen=True)
class Doubt:
    """A cell to distrust.

    Attributes
    ----------
    row, column : int
    points : int
    label : str
    fidelity : float
        Fidelity of its icon; NaN without an icon.
    split_half : float
        Cosine between the means of two random halves of its points; NaN if there are too few.
    recall : float
        Share of the true neighbours of its points that are neighbours on the map.
    stretch : float
        Mean stretch of its points.
    icon : (h, w, C) uint8 or None
    patches : (P, h, w, C) uint8 or None
        Real image patches, if there are any.
    """

    row: int
    column: int
    points: int
    label: str
    fidelity: float
    split_half: float
    recall: float
    stretch: float
    icon: NDArray[np.uint8] | None
    patches: NDArray[np.uint8] | None


@dataclass(frozen=True)
class LayerReport:
    """The data of one layer.

    Attributes
    ----------
    figures : LayerFigures
    size : int
        The level that is shown: cells per side.
    picture : (S, S, 4) uint8
        The map.
    regions : tuple of Region
        Clusters of that level, largest first.
    places : tuple of Region
        Clusters of the coarsest level, whose names are written on the map.
    fidelity : (G,) float64
        Fidelity of the icons of the level; empty without icons.
    stretch : (N,) float32
        Stretch of the points, without NaN.
    unfaithful, distorted : tuple of Doubt
        Cells with the least faithful icons, and cells with the largest distortion of the map.
    """

    figures: LayerFigures
    size: int
    picture: NDArray[np.uint8]
    regions: tuple[Region, ...]
    places: tuple[Region, ...]
    fidelity: Floats
    stretch: NDArray[np.floating]
    unfaithful: tuple[Doubt, ...]
    distorted: tuple[Doubt, ...]


@dataclass(frozen=True)
class AtlasReport:
    """The data of the report.

    Attributes
    ----------
    summary : Summary
    layers : tuple of LayerReport
    carried : tuple of Carryover
        Comparison of each layer with the next.
    versions : mapping of str to str
        Versions of the packages with which the points were collected.
    """

    summary: Summary
    layers: tuple[LayerReport, ...]
    carried: tuple[Carryover, ...]
    versions: dict[str, str] = field(default_factory=dict)


def report_of(atlas: Atlas, *, size: int | None = None, doubts: int = 8) -> AtlasReport:
    """Compute the data of the report of an atlas.

    Parameters
    ----------
    atlas : Atlas
    size : int, optional
        Level whose icons and clusters are shown, in cells per side (default: the one nearest to 20).
    doubts : int, default 8
        Number of cells to distrust, of each kind and layer.

    Returns
    -------
    AtlasReport

    Raises
    ------
    InvalidParameter
        For an atlas without a map, and for a level that the map does not have.
    """
    integer("doubts", doubts, minimum=1)
    optional_integer("size", size, minimum=1)
    summary = summarise(an_atlas(atlas))
    if not summary.layers:
        raise InvalidParameter(
            "atlas",
            allowed="an atlas with a map",
            received=said(f"{atlas.folder} without one"),
            fix="Run phosphene.atlas.chart(atlas) first.",
        )
    layers, sizes = [], []
    for figures in summary.layers:
        there = [level.size for level in figures.levels]
        shown = min(there, key=lambda each: abs(each - LEVEL)) if size is None else size
        layers.append(_layer(atlas, figures, shown, doubts))
        sizes.append(set(there))
    common = set.intersection(*sizes)
    of = size if size is not None else min(common, key=lambda each: abs(each - LEVEL)) if common else None
    carried = carry_overs(atlas, of) if of is not None else ()
    versions = atlas.store.manifest.notes.get("versions", {})
    return AtlasReport(summary, tuple(layers), carried, {str(key): str(value) for key, value in versions.items()})


def write_report(atlas: Atlas, path: str | Path, *, size: int | None = None) -> Path:
    """Write the report of an atlas as one page that works offline.

    Parameters
    ----------
    atlas : Atlas
    path : str or Path
        Path of the page, which ends in ``.html``.
    size : int, optional
        See `report_of`.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameter
        For another suffix, an atlas without a map, and a level that the map does not have.
    UnwritablePath
        When it cannot be written.
    """
    from phosphene.atlas.page import atlas_report_page

    if given_path(path).suffix.lower() != ".html":
        raise InvalidParameter(
            "path", allowed="a file name that ends in .html", received=str(path), fix="For example report.html."
        )
    optional_integer("size", size, minimum=1)
    target = check_writable(path)
    write_whole(target, atlas_report_page(report_of(atlas, size=size)).encode())
    return target


def _layer(atlas: Atlas, figures: LayerFigures, size: int, doubts: int) -> LayerReport:
    layer, names = figures.layer, atlas.steps.names
    grid = atlas.grid(layer)
    level = grid.level(size)
    icons = atlas.icons(layer, size) if figures.level(size).icons is not None else None
    stretch = atlas.measures(layer).point_stretch
    clustered = f"clusters.{layer}" in names
    regions = _regions(atlas, level, icons, atlas.clusters(layer, size)) if clustered else ()
    coarse = grid.levels[0]
    places = (
        regions
        if coarse.size == size or not clustered
        else _regions(atlas, coarse, None, atlas.clusters(layer, coarse.size))
    )
    cells = _cells(atlas, layer, level, icons)
    return LayerReport(
        figures,
        size,
        map_picture(grid.points, level, icons),
        regions,
        places,
        np.zeros(0) if icons is None else icons.fidelity,
        stretch[np.isfinite(stretch)],
        _doubts(cells, lambda cell: cell.fidelity, doubts),
        _doubts(cells, lambda cell: -abs(cell.stretch), doubts),
    )


def _regions(atlas: Atlas, level: Level, icons: Icons | None, found: Clusters) -> tuple[Region, ...]:
    many = len(found.cluster_of)
    answers = atlas.logits().argmax(axis=1) if "logits" in atlas.store.names else None
    main = np.full(len(level.counts), -1)
    for cell in range(len(level.counts)):
        main[cell] = np.bincount(found.cluster_of[level.members_of(cell)]).argmax()
    chosen = cell_icons(level, icons) if icons is not None else np.full(len(level.counts), -1)
    regions = []
    for number, name in enumerate(found.names):
        purity, answer = float("nan"), ""
        if answers is not None:
            counts = np.bincount(answers[found.cluster_of == number])
            purity, best = float(counts.max() / counts.sum()), int(counts.argmax())
            answer = atlas.classes[best] if atlas.classes else f"class {best}"
        own = chosen[(main == number) & (chosen >= 0)]
        fidelity = float(np.median(icons.fidelity[own])) if icons is not None and len(own) else float("nan")
        first, second = found.places[number].tolist()
        points = int(found.counts[number])
        regions.append(
            Region(name, points, points / many, bool(found.claimed[number]), (first, second), purity, answer, fidelity)
        )
    return tuple(regions)


def _cells(atlas: Atlas, layer: str, level: Level, icons: Icons | None) -> list[Doubt]:
    """The figures of all kept cells."""
    names, measures = atlas.steps.names, atlas.cell_measures(layer, level.size)
    labels = atlas.labels(layer, level.size) if f"labels.{layer}" in names else None
    chosen = cell_icons(level, icons) if icons is not None else np.full(len(level.counts), -1)
    # The largest group stands for its cell.
    sizes = np.diff(level.group_starts)
    largest = np.zeros(len(level.counts), np.int64)
    order = np.argsort(sizes, kind="stable")
    largest[level.group_cells[order]] = order
    patches = _patches(atlas, layer, level.size)
    crop = seen_part(icons.images) if icons is not None else 1.0
    found = []
    for cell in np.flatnonzero(level.kept).tolist():
        icon, group = int(chosen[cell]), int(largest[cell])
        row, column = level.cells[cell].tolist()
        shown = icons is not None and icon >= 0
        found.append(
            Doubt(
                row,
                column,
                int(level.counts[cell]),
                labels.text(group) if labels is not None else "",
                float(icons.fidelity[icon]) if icons is not None and shown else float("nan"),
                float(measures["split_half"][cell]),
                float(measures["recall"][cell]),
                float(measures["stretch"][cell]),
                cropped(icons.images[icon][None], crop)[0] if icons is not None and shown else None,
                patches.get(group),
            )
        )
    return found


def _patches(atlas: Atlas, layer: str, size: int) -> dict[int, NDArray[np.uint8]]:
    """Up to two real patches of each group, if there are any."""
    read = getattr(atlas, "patches", None)
    if read is None or f"patches.{layer}" not in atlas.steps.names:
        return {}
    found = read(layer, size)
    rows = {group: row[row >= 0][:2] for group, row in enumerate(np.asarray(found.rows))}
    return {group: np.asarray(found.pictures)[row] for group, row in rows.items() if len(row)}


def _doubts(cells: list[Doubt], key: Callable[[Doubt], float], most: int) -> tuple[Doubt, ...]:
    """The cells with the lowest keys, without those whose key is NaN."""
    return tuple(sorted((cell for cell in cells if np.isfinite(key(cell))), key=key)[:most])
