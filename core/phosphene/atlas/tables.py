"""The tables of the report page: levels, regions, and how regions carry over from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phosphene.kit.html import Html, element

if TYPE_CHECKING:
    from phosphene.atlas.carryover import Carryover
    from phosphene.atlas.report import LayerReport, Region
    from phosphene.atlas.summary import LayerFigures, LevelFigures

__all__ = ["carried_over", "levels_table", "regions_table"]

SHOWN = 16
"""Number of rows of a table that are shown before the rest is collapsed."""

LEAST = 0.005
"""Minimum share of a region's points for a flow to be shown."""

LEVEL_COLUMNS = {
    "cells per side": "",
    "cells": "cells with enough points to be kept",
    "points in cells": "share of all points in kept cells",
    "points per cell": "median over kept cells",
    "regions": "named clusters",
    "split half": "median cosine between the means of two random halves of a cell's points",
    "icon fidelity": "median cosine between the activation of an icon and the mean of its group",
    "5th percentile": "5th percentile of the icon fidelity",
    "own nearest": "share of icons that are nearest to their own group",
    "own in five": "share of icons whose own group is among the five nearest",
    "at split half": "share of icons whose fidelity is at least the split half of their cell",
    "labelled": "share of groups with a reliable label",
    "purity": "mean share of the points of labelled groups for which the network predicts the label",
}


def levels_table(figures: LayerFigures, shown: int) -> list[Html]:
    """The table of all levels."""
    cells = [_level(level) for level in figures.levels]
    there = [column for column in range(len(LEVEL_COLUMNS)) if any(row[column] for row in cells)]
    heads = [list(LEVEL_COLUMNS)[column] for column in there]
    rows = [
        [_bold(row[column], level.size == shown) for column in there]
        for row, level in zip(cells, figures.levels, strict=True)
    ]
    words = [
        element("div", element("dt", name), element("dd", LEVEL_COLUMNS[name])) for name in heads if LEVEL_COLUMNS[name]
    ]
    layout = (
        f"{figures.points:,} points with {figures.channels} channels, laid out by {figures.method.upper()}; "
        f"{figures.outliers:,} {'is' if figures.outliers == 1 else 'are'} outside the map and in no cell. The largest eigenvalue "
        f"of the second moment is {figures.raw_condition:,.0f} times the smallest; it would be 1 for a layer that uses all "
        "directions equally."
    )
    return [
        element("h3", "All levels"),
        _table(heads, rows),
        element("dl", *words, class_="words"),
        element("p", element("small", layout)),
    ]


def _level(level: LevelFigures) -> list[str]:
    icons, labels = level.icons, level.labels
    return [
        str(level.size),
        f"{level.used:,}",
        f"{level.points:.1%}",
        f"{level.density:,.0f}",
        "" if level.clusters is None else str(level.clusters),
        _cosine(level.split_half),
        *(
            [""] * 5
            if icons is None
            else [
                _cosine(icons.fidelity),
                _cosine(icons.fidelity_low),
                f"{icons.own_nearest:.0%}",
                f"{icons.own_in_five:.0%}",
                _share(icons.at_split_half),
            ]
        ),
        *(["", ""] if labels is None else [f"{labels.claimed:.0%}", _share(labels.purity)]),
    ]


def regions_table(layer: LayerReport) -> list[Html]:
    """The table of the clusters of the shown level."""
    if not layer.regions:
        return []
    heads, rows = ["region", "points", "share"], [_region(region) for region in layer.regions]
    words = "Clusters around peaks of the density of the points in the layer itself, not on the map. "
    if any(region.answer for region in layer.regions):
        heads += ["most frequent prediction", "purity"]
        words += (
            "A name in grey is not a reliable label. Predictions are for the whole image of a point; purity is the share of points "
            "with the most frequent one. "
        )
    if len(layer.fidelity):
        heads.append("icon fidelity")
        words += "Icon fidelity is the median over cells that are mostly in the region."
        rows = [[*row, _cosine(region.fidelity)] for row, region in zip(rows, layer.regions, strict=True)]
    return [
        element("h3", f"Regions at {layer.size} x {layer.size} cells"),
        element("p", words, class_="muted"),
        *_folded(heads, rows, "regions", words=3 if "purity" in heads else -1),
    ]


def _region(region: Region) -> list[Html | str]:
    name: Html | str = region.name if region.claimed else element("span", region.name, class_="muted")
    answer = [region.answer, _share(region.purity)] if region.answer else []
    return [name, f"{region.points:,}", f"{region.share:.1%}", *answer]


def carried_over(carried: tuple[Carryover, ...]) -> list[Html]:
    """How the regions of each layer carry over to the next."""
    if not carried:
        return []
    parts = [
        element("h2", "From layer to layer"),
        element(
            "p",
            "The points are the same in all layers, so each region of a layer can be followed to the next. A region that maps to a "
            "single one is preserved; a region that spreads over several is distinguished further by the later layer.",
        ),
    ]
    for each in carried:
        parts += _one_carried(each)
    return parts


def _one_carried(each: Carryover) -> list[Html]:
    first, second = each.layers
    k = each.neighbours
    reading = [
        (
            "Agreement of the regions",
            f"{each.mutual_information:.2f}",
            "Adjusted mutual information of both clusterings: 1 for equal regions, 0 by chance.",
        ),
        (
            "Common neighbours",
            f"{each.overlap:.0%}",
            f"The share of the {k} nearest neighbours of a point in {first} that are also its nearest in {second}; "
            f"{each.overlap_chance:.2%} by chance.",
        ),
        (
            "Difference of the maps",
            f"{each.disparity:.2f}",
            "Procrustes disparity after rotation, reflection and scaling: 0 for equal maps, 1 for maps with nothing in common. The "
            "second layout starts from the first, so a small value is partly by construction.",
        ),
    ]
    order = np.argsort(-each.table.sum(axis=1), kind="stable").tolist()
    rows: list[list[Html | str]] = [
        [
            each.names[0][region],
            f"{each.table[region].sum():,}",
            _flows(each, region),
            f"{each.spread[region]:.1f}",
        ]
        for region in order
    ]
    listed = [
        element("div", element("dt", name, element("b", value)), element("dd", words)) for name, value, words in reading
    ]
    return [
        element("h3", f"{first} to {second}, regions at {each.size} x {each.size} cells"),
        element(
            "div", *(element("dl", *part, class_="reading") for part in (listed[:2], listed[2:])), class_="columns"
        ),
        *_folded([f"region of {first}", "points", f"regions of {second}", "spread"], rows, "regions", words=2),
        element(
            "p",
            element(
                "small",
                "Spread: the effective number of regions (exponential of the entropy) over which the points are distributed.",
            ),
        ),
    ]


def _flows(each: Carryover, region: int) -> Html:
    """The regions that share most points with a region, as bars."""
    bars = [
        element(
            "span",
            element("i", style=f"width: {100 * flow.share:.1f}%"),
            element("em", each.names[1][flow.to]),
            f"{flow.share:.0%}",
        )
        for flow in each.flows(region)
        if flow.share >= LEAST
    ]
    return element("div", *bars, class_="flows")


def _folded(heads: list[str], rows: list[list[Html | str]], what: str, *, words: int) -> list[Html]:
    """A table, with rows beyond `SHOWN` collapsed."""
    parts = [_table(heads, rows[:SHOWN], words)]
    if len(rows) > SHOWN:
        rest = element(
            "summary", f"{len(rows) - SHOWN} more {what if len(rows) - SHOWN > 1 else what.removesuffix('s')}"
        )
        parts.append(element("details", rest, _table(heads, rows[SHOWN:], words), class_="more"))
    return parts


def _table(heads: list[str], rows: Sequence[Sequence[Html | str]], words: int = -1) -> Html:
    """A table; column `words` holds text and is aligned left."""

    def looks(column: int) -> str | None:
        return "words" if column == words else None

    top = [element("th", name, scope="col", class_=looks(column)) for column, name in enumerate(heads)]
    lines = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", text, class_=looks(column)) for column, text in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    return element(
        "div",
        element("table", element("thead", element("tr", *top)), element("tbody", *lines), class_="wide"),
        class_="scroll",
    )


def _bold(text: str, strong: bool) -> Html:
    return element("b" if strong else "span", text)


def _cosine(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "–"
