"""The tables of an atlas's page: its levels, its regions, and how they carry over from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phosphene.pages.html import Html, element

if TYPE_CHECKING:
    from phosphene.atlas.carryover import Carryover
    from phosphene.atlas.reporting import LayerReport, Region
    from phosphene.atlas.summary import LayerFigures, LevelFigures

__all__ = ["carried_over", "levels_table", "regions_table"]

SHOWN = 16
"""Rows of a table before the rest is folded away."""

LEAST = 0.005
"""Share of a region's points from which on it is said where they go."""

LEVEL_COLUMNS = {
    "cells a side": "",
    "cells": "with points enough to be kept",
    "points in them": "share of all points",
    "points a cell": "at the median",
    "regions": "named clusters",
    "halves alike": "cosine of the means of two random halves of a cell: what would be there again",
    "icon fidelity": "cosine of an icon to its group's mean, at the median",
    "least faithful": "the same at the fifth percentile: one icon in twenty is below",
    "own nearest": "share of icons that are nearest to their own group",
    "in five": "share with their own group among the five nearest",
    "as true as halves": "share of icons at least as near to the mean as two halves are to one another",
    "labelled": "share of groups whose first class is surely first",
    "agreeing": "share of points in these for which the network gives that answer",
}


def levels_table(figures: LayerFigures, shown: int) -> list[Html]:
    """Figures of all levels."""
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
        f"{figures.points:,} points of {figures.channels} channels, laid out by {figures.method.upper()}; {figures.outliers:,} lie "
        f"outside the map and are in no cell. The largest eigenvalue of the second moment is {figures.raw_condition:,.0f} times "
        "the smallest: 1 would be a layer that uses all directions alike."
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
        str(level.size), f"{level.used:,}", f"{level.points:.1%}", f"{level.density:,.0f}",
        "" if level.clusters is None else str(level.clusters), _cosine(level.split_half),
        *(
            [""] * 5
            if icons is None
            else [
                _cosine(icons.fidelity), _cosine(icons.fidelity_low), f"{icons.own_nearest:.0%}", f"{icons.own_in_five:.0%}",
                _share(icons.at_split_half),
            ]
        ),
        *(["", ""] if labels is None else [f"{labels.claimed:.0%}", _share(labels.purity)]),
    ]  # fmt: skip


def regions_table(layer: LayerReport) -> list[Html]:
    """The clusters of the level that is shown."""
    if not layer.regions:
        return []
    heads, rows = ["region", "points", "share"], [_region(region) for region in layer.regions]
    words = "Peaks of the density of the points in the layer itself, not on the map. "
    if any(region.answer for region in layer.regions):
        heads += ["most frequent answer", "agreeing"]
        words += (
            "A name in grey does not rest on a reliable label. The answer is the network's, for the whole image of a point; "
            "agreeing is the share of points for which it is that. "
        )
    if len(layer.fidelity):
        heads.append("icon fidelity")
        words += "Icon fidelity is the median over cells that lie mostly in the region."
        rows = [[*row, _cosine(region.fidelity)] for row, region in zip(rows, layer.regions, strict=True)]
    return [
        element("h3", f"Regions at {layer.size} x {layer.size} cells"),
        element("p", words, class_="muted"),
        *_folded(heads, rows, "regions", words=3 if "agreeing" in heads else -1),
    ]


def _region(region: Region) -> list[Html | str]:
    name: Html | str = region.name if region.claimed else element("span", region.name, class_="muted")
    answer = [region.answer, _share(region.purity)] if region.answer else []
    return [name, f"{region.points:,}", f"{region.share:.1%}", *answer]


def carried_over(carried: tuple[Carryover, ...]) -> list[Html]:
    """How regions of a layer are those of the next."""
    if not carried:
        return []
    parts = [
        element("h2", "From layer to layer"),
        element(
            "p",
            "The points are the same in all layers, so each region of one can be followed into the next. A region that goes "
            "into one is kept whole; one that is spread over many is told apart later.",
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
            "Regions in common", f"{each.mutual_information:.2f}",
            "Mutual information of both groupings, adjusted for chance: 1 if the regions were the same, 0 if by chance.",
        ),
        (
            "Neighbours in common", f"{each.overlap:.0%}",
            f"Of the {k} nearest of a point in {first}, so many are so in {second}. At random it would be "
            f"{each.overlap_chance:.2%}.",
        ),
        (
            "Difference of the maps", f"{each.disparity:.2f}",
            "What is left between both maps after turning and scaling: 0 if they were one, 1 if they had nothing in common. The "
            "second begins where the first ended, so a small figure is partly by construction.",
        ),
    ]  # fmt: skip
    order = np.argsort(-each.table.sum(axis=1), kind="stable").tolist()
    rows: list[list[Html | str]] = [
        [
            each.names[0][region], f"{each.table[region].sum():,}",
            _flows(each, region),
            f"{each.spread[region]:.1f}",
        ]
        for region in order
    ]  # fmt: skip
    listed = [
        element("div", element("dt", name, element("b", value)), element("dd", words)) for name, value, words in reading
    ]
    return [
        element("h3", f"{first} to {second}, regions at {each.size} x {each.size} cells"),
        element("div", *(element("dl", *part, class_="reading") for part in (listed[:2], listed[2:])), class_="columns"),
        *_folded([f"region of {first}", "points", f"goes to, in {second}", "spread over"], rows, "regions", words=2),
        element(
            "p",
            element("small", "Spread over: into how many regions of equal size the points would go to be as mixed."),
        ),
    ]  # fmt: skip


def _flows(each: Carryover, region: int) -> Html:
    """Where most of a region's points go, as bars."""
    bars = [
        element(
            "span", element("i", style=f"width: {100 * flow.share:.1f}%"), element("em", each.names[1][flow.to]),
            f"{flow.share:.0%}",
        )
        for flow in each.flows(region)
        if flow.share >= LEAST
    ]  # fmt: skip
    return element("div", *bars, class_="flows")


def _folded(heads: list[str], rows: list[list[Html | str]], what: str, *, words: int) -> list[Html]:
    """A table, the rest of which opens where it is long."""
    parts = [_table(heads, rows[:SHOWN], words)]
    if len(rows) > SHOWN:
        rest = element("summary", f"the other {len(rows) - SHOWN} {what}")
        parts.append(element("details", rest, _table(heads, rows[SHOWN:], words), class_="more"))
    return parts


def _table(heads: list[str], rows: Sequence[Sequence[Html | str]], words: int = -1) -> Html:
    """Column `words` is of words, which begin at its left."""

    def looks(column: int) -> str | None:
        return "words" if column == words else None

    top = [element("th", name, scope="col", class_=looks(column)) for column, name in enumerate(heads)]
    lines = [
        element(
            "tr", element("th", row[0], scope="row"),
            *(element("td", text, class_=looks(column)) for column, text in enumerate(row[1:], 1)),
        )
        for row in rows
    ]  # fmt: skip
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
