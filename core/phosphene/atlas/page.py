"""The report page of an atlas: the map of each layer, and its measures with explanations."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phosphene.atlas.tables import carried_over, levels_table, regions_table
from phosphene.kit.charts import embedded, histogram
from phosphene.kit.html import Html, element, page

if TYPE_CHECKING:
    from phosphene.atlas.report import AtlasReport, Doubt, LayerReport, Region

__all__ = ["atlas_report_page"]

NAMED = 16
"""Maximum number of names on a map; names that would overlap that of a larger region are left out."""


def atlas_report_page(found: AtlasReport) -> str:
    """The whole document, which loads nothing from elsewhere."""
    of = found.summary.network
    title = f"An activation atlas of {of}" if of else "An activation atlas"
    return page(
        title,
        element("h1", title),
        _lead(found),
        _facts(found),
        *(_layer(layer) for layer in found.layers),
        *carried_over(found.carried),
        _closing(found),
        style=Path(__file__).parent / "report.css",
    )


def _lead(found: AtlasReport) -> Html:
    layers = _listed([layer.figures.layer for layer in found.layers])
    return element(
        "p",
        f"What {layers} of this network distinguish{'es' if len(found.layers) == 1 else ''}. Each point is the activation at one "
        "position of one image. Points with similar activations lie close together. The map is divided into cells, and the picture "
        "of a cell was optimized so that its activation has the direction of the mean of the points there. These pictures are "
        "synthetic, not photographs.",
        class_="lead",
    )


def _facts(found: AtlasReport) -> Html:
    summary = found.summary
    facts = {"points": f"{summary.points:,}", "images": f"{summary.images:,}"}
    facts["layers" if len(found.layers) > 1 else "layer"] = ", ".join(layer.figures.layer for layer in found.layers)
    left_out = sum(layer.figures.left_out for layer in found.layers)
    if left_out:
        facts["left out as infinite or NaN"] = f"{left_out:,}"
    if summary.date:
        facts["collected"] = summary.date[:10]
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    if summary.data:
        boxes.append(element("div", element("span", "data"), element("br"), element("code", summary.data)))
    return element("div", *boxes, class_="facts")


def _layer(layer: LayerReport) -> Html:
    figures = layer.figures
    return element(
        "section",
        element("h2", f"The map of {figures.layer}"),
        element("div", _map(layer), _reading(layer), class_="halved"),
        *_charts(layer),
        *levels_table(figures, layer.size),
        *regions_table(layer),
        *_doubts(layer),
        class_="layer",
    )


def _map(layer: LayerReport) -> Html:
    names = [
        element("b", region.name, style=f"left: {100 * region.place[0]:.1f}%; top: {100 * region.place[1]:.1f}%")
        for region in _spaced(layer.places)
    ]
    has_icons = len(layer.fidelity) > 0
    told = (
        "Each picture stands for the largest group of its cell, and is larger where there are more points. Its border is cropped, "
        "since the layer's central position hardly depends on it. "
        if has_icons
        else "No icons were drawn. "
    )
    return element(
        "figure",
        element("div", embedded(layer.picture, f"The map of {layer.figures.layer}, with its regions by name"), *names),
        element(
            "figcaption",
            f"{layer.size} x {layer.size} cells. {told}The shading shows the density of the points. Names mark the densest point "
            "of each region. The axes have no meaning; close points are similar, as far as the figures show.",
        ),
        class_="map",
    )


def _spaced(regions: tuple[Region, ...]) -> list[Region]:
    """The largest regions whose names do not overlap; the width of a letter is estimated from the width of the map."""
    chosen: list[Region] = []
    for region in regions:
        if len(chosen) == NAMED:
            break
        if not (region.claimed and 0 <= region.place[0] <= 1 and 0 <= region.place[1] <= 1):
            continue
        if all(
            abs(region.place[1] - other.place[1]) > 0.035
            or abs(region.place[0] - other.place[0]) > 0.0065 * (len(region.name) + len(other.name)) + 0.02
            for other in chosen
        ):
            chosen.append(region)
    return chosen


def _reading(layer: LayerReport) -> Html:
    """The figures of the layout and of the shown level, each with an explanation."""
    figures = layer.figures
    k, level = figures.neighbours, figures.level(layer.size)
    rows = [
        (
            "Trustworthiness",
            f"{figures.trustworthiness:.3f}",
            f"Are the {k} nearest points on the map truly similar? 1: all of them are; 0.5: a random map.",
        ),
        (
            "Continuity",
            f"{figures.continuity:.3f}",
            "Are truly similar points close on the map? 1: all of them are; 0.5: a random map.",
        ),
        (
            "Neighbours preserved",
            f"{figures.recall:.0%}",
            f"The share of the {k} true nearest neighbours that are among the {k} nearest on the map, a strict measure. Two "
            f"dimensions never preserve all of them; a random map preserves {_small(figures.recall_chance)}.",
        ),
        (
            "Stretch",
            f"{_factor(figures.stretch[0])} to {_factor(figures.stretch[4])}",
            "How much the map widens the neighbourhood of a point, relative to the median point: 90% of points are in this range. "
            "Areas and distances on the map are therefore not to scale.",
        ),
    ]
    if level.icons is not None:
        rows.append(
            (
                "Icon fidelity",
                f"{level.icons.fidelity:.3f}",
                "The median cosine between the activation of an icon and the mean of its group. 1 is the same direction.",
            )
        )
        rows.append(
            (
                "Icons nearest to their own group",
                f"{level.icons.own_nearest:.0%}",
                f"The share of icons whose activation is nearest to the mean of their own group among {level.icons.icons:,} "
                f"groups; for {level.icons.own_in_five:.0%} it is among the five nearest.",
            )
        )
    if level.labels is not None:
        known = math.isfinite(level.labels.purity)
        rows.append(
            (
                "Groups with a label",
                f"{level.labels.claimed:.0%}",
                f"Labels are based on {level.labels.source}, and given only where the first class is reliably ahead of the second."
                + (
                    f" The network predicts the label for {level.labels.purity:.0%} of the points in these."
                    if known
                    else ""
                ),
            )
        )
    return explained(rows)


def explained(rows: list[tuple[str, str, str]]) -> Html:
    """Figures with their names and explanations."""
    return element(
        "dl",
        *(
            element("div", element("dt", name, element("b", value)), element("dd", words))
            for name, value, words in rows
        ),
        class_="reading",
    )


def _charts(layer: LayerReport) -> list[Html]:
    charts = []
    level = layer.figures.level(layer.size)
    if len(layer.fidelity):
        low = max(-1.0, math.floor(float(np.percentile(layer.fidelity, 2)) * 20) / 20)
        low = min(low, 0.9)
        marks = [(float(np.median(layer.fidelity)), f"median {np.median(layer.fidelity):.3f}")]
        if math.isfinite(level.split_half):
            marks.append((level.split_half, f"two halves of a cell: {level.split_half:.3f}"))
        below = int((layer.fidelity < low).sum())
        charts.append(
            _charted(
                "Fidelity of the icons",
                histogram(
                    layer.fidelity,
                    span=(low, 1.0),
                    ticks=np.linspace(low, 1, 6).tolist(),
                    tell="{:.2f}".format,
                    marks=marks,
                    description=f"Histogram of the fidelity of {len(layer.fidelity)} icons",
                ),
                "How well each icon shows the mean of its group. The dashed line is the cosine between the means of two random "
                "halves of a cell's points, as much as can be expected of an icon."
                + (
                    f" The first bar includes the {below} of {len(layer.fidelity)} icons below {low:.2f}."
                    if below
                    else ""
                ),
            )
        )
    if len(layer.stretch):
        edge = max(2, math.ceil(float(np.abs(np.percentile(layer.stretch, [1, 99])).max())))
        step = max(1, round(edge / 3))
        ticks = range(-edge // step * step + step, edge, step)
        charts.append(
            _charted(
                "Stretch of the points",
                histogram(
                    layer.stretch,
                    span=(-edge, edge),
                    ticks=ticks,
                    tell=_factor,
                    description=f"Histogram of the stretch of {len(layer.stretch)} points, on a logarithmic scale",
                    marks=[(0.0, "the median point")],
                ),
                "How much the map widens the neighbourhood of each point, relative to the median point. On the far right are "
                "points with nearly equal activations that are spread over the map, on the far left points that are squeezed "
                "together. The outermost bars include all points beyond.",
            )
        )
    return [element("div", *charts, class_="columns after")] if charts else []


def _charted(title: str, chart: Html, words: str) -> Html:
    return element("figure", element("h3", title), chart, element("figcaption", words), class_="charted")


def _doubts(layer: LayerReport) -> list[Html]:
    parts: list[Html] = []
    if layer.unfaithful:
        parts += [
            element("h3", "Cells whose icon is unreliable"),
            element(
                "p",
                "The least faithful icons: the layer's activation for them differs most from the mean of the cell's points. The "
                "optimization found no image with that mean.",
                class_="muted",
            ),
            _cards(layer.unfaithful, lambda cell: f"fidelity {cell.fidelity:.2f}"),
        ]
    if layer.distorted:
        parts += [
            element("h3", "Cells whose place and size are unreliable"),
            element(
                "p",
                "The cells with the largest distortion. Where the factor is large, nearly equal activations fill a region of the "
                "map; where it is small, dissimilar ones share a cell.",
                class_="muted",
            ),
            _cards(layer.distorted, lambda cell: f"stretched {_factor(cell.stretch)}"),
        ]
    return parts


def _cards(cells: tuple[Doubt, ...], first: Callable[[Doubt], str]) -> Html:
    cards = []
    for cell in cells:
        where = f"row {cell.row}, column {cell.column}"
        seen = [
            embedded(cell.icon, f"icon of the cell in {where}") if cell.icon is not None else element("span", "no icon")
        ]
        if cell.patches is not None:
            seen.append(embedded(cell.patches[0], f"a real image patch of the cell in {where}"))
        words = f"{where}; {cell.points:,} points; {cell.recall:.0%} of neighbours preserved"
        cards.append(
            element(
                "figure",
                element("div", *seen, class_="seen"),
                element("figcaption", element("b", first(cell)), f"{cell.label}; " if cell.label else "", words),
            )
        )
    return element("div", *cards, class_="doubts")


def _closing(found: AtlasReport) -> Html:
    made = [f"Atlas {found.summary.identity}.", ", ".join(f"{name} {value}" for name, value in found.versions.items())]
    return element(
        "footer",
        element(
            "p",
            "Method: activation atlas (Carter, Armstrong, Schubert, Johnson and Olah 2019), with regions by the peaks of density "
            "(Chazal et al. 2013) and the measures of Venna and Kaski (2001). A map in two dimensions is a summary: use it to form "
            "hypotheses, and test them.",
        ),
        element("p", " ".join(filter(None, made))),
    )


def _factor(logarithm: float) -> str:
    """A stretch as a factor: 1 is "×2", -1 is "×1/2"."""
    if not math.isfinite(logarithm):
        return "unknown"
    value = 2.0 ** abs(logarithm)
    told = f"{value:.0f}" if value >= 9.5 or abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return f"×{told}" if logarithm >= 0 or told == "1" else f"×1/{told}"


def _small(share: float) -> str:
    return f"{share:.2%}" if share < 0.01 else f"{share:.0%}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
