"""The page of an atlas: the map of each layer, and how far each part of it can be trusted, in figures that are explained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from phosphene.pages.atlas_tables import carried_over, levels_table, regions_table
from phosphene.pages.charts import embedded, histogram
from phosphene.pages.html import Html, element, page

if TYPE_CHECKING:
    from phosphene.atlas.reporting import AtlasReport, Doubt, LayerReport, Region

__all__ = ["atlas_report_page"]

NAMED = 16
"""Names on a map, at most; a name that would lie over a larger region's is left out."""


def atlas_report_page(found: AtlasReport) -> str:
    """The whole document; it loads nothing from anywhere."""
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
        style="atlas_report.css",
    )


def _lead(found: AtlasReport) -> Html:
    layers = _listed([layer.figures.layer for layer in found.layers])
    return element(
        "p",
        f"What {layers} of this network tell{'s' if len(found.layers) == 1 else ''} apart. A point is one place of one image, as "
        "the layer sees it. Points that the layer sees alike lie close together. The map is cut into cells, and the picture on a "
        "cell was made to give the same activation as its points do on average. These pictures are made, not photographed.",
        class_="lead",
    )


def _facts(found: AtlasReport) -> Html:
    summary = found.summary
    facts = {"points": f"{summary.points:,}", "images": f"{summary.images:,}"}
    facts["layers" if len(found.layers) > 1 else "layer"] = ", ".join(layer.figures.layer for layer in found.layers)
    left_out = sum(layer.figures.left_out for layer in found.layers)
    if left_out:
        facts["left out, since they were infinite or NaN"] = f"{left_out:,}"
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
        "Each picture stands for the largest part of its cell; it is larger where more points lie. Its border is cut off, since "
        "the layer's central position hardly sees it. "
        if has_icons
        else "No icons were drawn. "
    )
    return element(
        "figure",
        element("div", embedded(layer.picture, f"The map of {layer.figures.layer}, with its regions by name"), *names),
        element(
            "figcaption",
            f"{layer.size} x {layer.size} cells. {told}The shade beneath is the density of the points. Names are of regions, at "
            "their densest point. Left, right, up and down mean nothing; near means alike, as far as the figures tell.",
        ),
        class_="map",
    )  # fmt: skip


def _spaced(regions: tuple[Region, ...]) -> list[Region]:
    """The largest regions whose names do not lie over one another; a letter is taken for 1.1% of the map's width."""
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
    """The figures of the layout and of the level that is shown, each with its meaning."""
    figures = layer.figures
    k, level = figures.neighbours, figures.level(layer.size)
    rows = [
        (
            "Trustworthiness", f"{figures.trustworthiness:.3f}",
            f"Are the {k} nearest on the map alike in truth? 1: all of them are. A map by chance has 0.5.",
        ),
        (
            "Continuity", f"{figures.continuity:.3f}",
            "Are points that are alike drawn together? 1: none was torn away. Chance is 0.5.",
        ),
        (
            "Neighbours kept", f"{figures.recall:.0%}",
            f"The strict count: so many of the {k} nearest in truth are among the {k} nearest on the map. Two dimensions never "
            f"keep all of them; a map by chance keeps {_small(figures.recall_chance)}.",
        ),
        (
            "Drawn out of scale", f"{_factor(figures.stretch[0])} to {_factor(figures.stretch[4])}",
            "How wide the map draws a point's surroundings, against the median point: nine in ten are within this. So the area of "
            "a region is not its size, and the width of a gap is not a distance.",
        ),
    ]  # fmt: skip
    if level.icons is not None:
        rows.append(
            (
                "Icon fidelity", f"{level.icons.fidelity:.3f}",
                "Cosine between what an icon gives in the layer and the mean it was made for, at the median. 1 is the same "
                "direction.",
            )
        )  # fmt: skip
        rows.append(
            (
                "Icons nearest to their own", f"{level.icons.own_nearest:.0%}",
                "Share of icons that the layer sees as their own group rather than any other of the "
                f"{level.icons.icons:,}; {level.icons.own_in_five:.0%} have it among the five nearest.",
            )
        )  # fmt: skip
    if level.labels is not None:
        known = math.isfinite(level.labels.purity)
        rows.append(
            (
                "Groups with a label", f"{level.labels.claimed:.0%}",
                f"Named by {level.labels.source}, and only where the first class is surely first."
                + (f" In these {level.labels.purity:.0%} of the points have that answer." if known else ""),
            )
        )  # fmt: skip
    return explained(rows)


def explained(rows: list[tuple[str, str, str]]) -> Html:
    """Names, figures and what they mean."""
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
                    layer.fidelity, span=(low, 1.0), ticks=np.linspace(low, 1, 6).tolist(), tell="{:.2f}".format, marks=marks,
                    description=f"Histogram of the fidelity of {len(layer.fidelity)} icons",
                ),
                "How true each picture is. The dashed line is how alike the means of two random halves of a cell's points are, so "
                "beyond it there is nothing to be truer to."
                + (f" The first bar holds what is below {low:.2f} as well: {below} of {len(layer.fidelity)}." if below else ""),
            )
        )  # fmt: skip
    if len(layer.stretch):
        edge = max(2, math.ceil(float(np.abs(np.percentile(layer.stretch, [1, 99])).max())))
        step = max(1, round(edge / 3))
        ticks = range(-edge // step * step + step, edge, step)
        charts.append(
            _charted(
                "Stretch of the points",
                histogram(
                    layer.stretch, span=(-edge, edge), ticks=ticks, tell=_factor,
                    description=f"Histogram of the stretch of {len(layer.stretch)} points, by factors of two",
                    marks=[(0.0, "the median point")],
                ),
                "How much wider than the median point's the map draws the surroundings of each point. Far to the right lie "
                "points that are nearly the same in the layer, and are spread over the map; far to the left those that were "
                "pressed together. The outermost bars hold what is beyond.",
            )
        )  # fmt: skip
    return [element("div", *charts, class_="columns after")] if charts else []


def _charted(title: str, chart: Html, words: str) -> Html:
    return element("figure", element("h3", title), chart, element("figcaption", words), class_="charted")


def _doubts(layer: LayerReport) -> list[Html]:
    parts: list[Html] = []
    if layer.unfaithful:
        parts += [
            element("h3", "Cells whose picture not to believe"),
            element(
                "p",
                "The least faithful icons: the layer does not see in them what the points of the cell have in common. No image "
                "was found that gives this mean.",
                class_="muted",
            ),
            _cards(layer.unfaithful, lambda cell: f"fidelity {cell.fidelity:.2f}"),
        ]
    if layer.distorted:
        parts += [
            element("h3", "Cells whose place and size not to believe"),
            element(
                "p",
                "The cells that are drawn most out of scale. Where the factor is large, one spot of the layer fills a region of "
                "the map; where it is small, much lies in one cell.",
                class_="muted",
            ),
            _cards(layer.distorted, lambda cell: f"drawn {_factor(cell.stretch)}"),
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
            seen.append(embedded(cell.patches[0], f"a real part of an image in {where}"))
        words = f"{where}; {cell.points:,} points; {cell.recall:.0%} of neighbours kept"
        cards.append(
            element(
                "figure", element("div", *seen, class_="seen"),
                element("figcaption", element("b", first(cell)), f"{cell.label}; " if cell.label else "", words),
            )
        )  # fmt: skip
    return element("div", *cards, class_="doubts")


def _closing(found: AtlasReport) -> Html:
    made = [f"Atlas {found.summary.identity}.", ", ".join(f"{name} {value}" for name, value in found.versions.items())]
    return element(
        "footer",
        element(
            "p",
            "Method: activation atlas (Carter, Armstrong, Schubert, Johnson and Olah 2019), with regions by the peaks of density "
            "(Chazal et al. 2013) and the measures of Venna and Kaski (2001). A map in two dimensions is a summary: take it as a "
            "source of questions, and test the answers.",
        ),
        element("p", " ".join(filter(None, made))),
    )


def _factor(logarithm: float) -> str:
    """A stretch in words: 1 is "x2", -1 is "x1/2"."""
    if not math.isfinite(logarithm):
        return "unknown"
    value = 2.0 ** abs(logarithm)
    told = f"{value:.0f}" if value >= 9.5 or abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return f"×{told}" if logarithm >= 0 or told == "1" else f"×1/{told}"


def _small(share: float) -> str:
    return f"{share:.2%}" if share < 0.01 else f"{share:.0%}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
