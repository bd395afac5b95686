"""The figure of `Comparison`: one row of pictures per target, one column per network, and heat maps of the similarity of layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import SEQUENTIAL, figure_class, finished, fitted, show_image
from phosphene.words import breadth

if TYPE_CHECKING:
    from phosphene.comparison.result import Comparison

__all__ = ["plot_comparison"]

PICTURE, LARGEST, CELL, CURVE, CURVE_WIDTH, HEAD = 1.25, 1.9, 0.46, 2.1, 4.0, 0.4
"""Inches: side of a picture at least and at most, of a cell of a heat map, height and width of the curve of correlations, height of
the names above the pictures."""

BLUE = "#0072B2"

NAME, LAYER = 2.2, 1.4
"""Inches: the longest name of a target, and of a layer."""

LONGEST = 6
"""Rows of pictures in a column; further rows are drawn beside it."""

LIGHT = 0.55
"""Value from which a colour is so light that black text is easier to read on it than white."""

MOST_NUMBERS = 14
"""Layers per side up to which a heat map shows its values."""


def plot_comparison(found: Comparison) -> Any:
    """Draw `Comparison`; see `Comparison.plot`."""
    stacks = math.ceil(len(found.rows) / LONGEST) if found.renders else 0
    high = math.ceil(len(found.rows) / stacks) if stacks else 0
    # A single value needs no heat map if there is a curve.
    maps = [pair for pair, matrix in found.similarity.items() if matrix.size > 1 or not len(found.matches)]
    heights = [_side(found, one) for one, _ in maps] + [CURVE] * bool(len(found.matches))
    beside = max(
        [_side(found, other) + 0.6 for _, other in maps] + [CURVE_WIDTH] * bool(len(found.matches)), default=0.0
    )
    # A few pictures are enlarged to the height of the panels beside them.
    picture = min(LARGEST, max(PICTURE, (sum(heights) - HEAD) / high)) if high else 0.0
    spans = [range(stack * high, min((stack + 1) * high, len(found.rows))) for stack in range(stacks)]
    widths = [picture * len(found.names) + _labels(found, span) for span in spans] + [beside] * bool(heights)
    height = max(picture * high + HEAD * bool(high), sum(heights))
    figure = figure_class()(figsize=(sum(widths), height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.02, hspace=0.02)
    parts = np.atleast_1d(figure.subfigures(1, len(widths), width_ratios=widths))
    for span, part in zip(spans, parts, strict=False):
        _pictures(part, found, span, max(high, int((height - HEAD) / picture)))
    if heights:
        panels = np.atleast_1d(parts[-1].subfigures(len(heights), 1, height_ratios=heights))
        for panel, pair in zip(panels, maps, strict=False):
            _heat_map(panel, found, *pair)
        if len(found.matches):
            _curve(panels[-1], found, alone=not maps)
    return finished(figure)


def _pictures(part: Any, found: Comparison, rows: range, lines: int) -> None:
    """Draw these rows of pictures at the top of a grid of `lines` rows."""
    axes = part.subplots(lines, len(found.names), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for line, row in enumerate(rows):
        for column, renders in enumerate(found.renders):
            show_image(axes[line, column], renders.images[row])
            if line == 0:
                # The backend in brackets is on a line of its own.
                name = found.names[column].replace(" (", "\n(").split("\n")
                axes[line, column].set_title("\n".join(fitted(part, PICTURE, 8) for part in name), fontsize=8)
        axes[line, 0].text(
            -0.08,
            0.5,
            "\n".join(_titles(found, row)),
            ha="right",
            va="center",
            fontsize=8,
            transform=axes[line, 0].transAxes,
        )


def _titles(found: Comparison, row: int) -> list[str]:
    """Lines of the title of a row: a target, or one per network."""
    return [fitted(line.replace(" : ", ": "), NAME, 8) for line in found.rows[row].split("\n")]


def _labels(found: Comparison, rows: range) -> float:
    """Width in inches of the titles of these rows."""
    return 0.3 + 0.066 * max(breadth(line) for row in rows for line in _titles(found, row))


def _side(found: Comparison, network: int) -> float:
    """Size in inches of a heat map along the layers of a network, labels included."""
    return max(2.6, CELL * len(found.layers[network])) + 1.3


def _heat_map(panel: Any, found: Comparison, one: int, other: int) -> None:
    matrix = found.similarity[one, other]
    axis = panel.subplots()
    # Values below 0 are due to chance: their colour is that of 0.
    axis.imshow(np.ma.masked_invalid(np.clip(matrix, 0, 1)), cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="equal")
    axis.set_facecolor("0.85")
    rows, columns = matrix.shape
    if max(rows, columns) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(matrix):
            shade = "black" if np.isnan(value) or value > LIGHT else "white"
            text = "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
    layers = [[fitted(layer, LAYER, 7) for layer in found.layers[network]] for network in (one, other)]
    axis.set_xticks(range(columns), layers[1], rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_yticks(range(rows), layers[0], fontsize=7)
    axis.set_xlabel(f"layers of {fitted(found.names[other], LAYER, 8)}", fontsize=8)
    axis.set_ylabel(f"layers of {fitted(found.names[one], LAYER, 8)}", fontsize=8)
    axis.set_title(f"Alignment of layers (CKA) over {found.images:,} images", fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = panel.colorbar(axis.images[0], cax=axis.inset_axes((1.03, 0.0, 0.035, 1.0)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.set_label("1: alike up to rotation and scale; 0: unrelated", fontsize=7)


def _curve(panel: Any, found: Comparison, *, alone: bool) -> None:
    axis = panel.subplots()
    axis.set_box_aspect(0.7 if alone else None)
    places = np.arange(1, len(found.matches) + 1)
    axis.plot(places, found.correlations, color=BLUE, linewidth=1.4)
    layers = " and ".join(
        fitted(layer, LAYER, 8) for layer in dict.fromkeys((found.layers[0][-1], found.layers[1][-1]))
    )
    alignment = found.similarity[0, 1]
    said = f", CKA of the layers {alignment[0, 0]:.2f}" if alignment.size == 1 else ""
    axis.set_title(
        f"{len(found.matches)} matched channels of {layers}:\nmedian correlation {np.median(found.correlations):.2f}{said}",
        fontsize=8,
    )
    axis.set_xlabel("pairs of channels, strongest first", fontsize=8)
    axis.set_ylabel("correlation over images", fontsize=8)
    axis.set_xlim(1, max(2, 1.01 * len(places)))
    axis.set_ylim(0, 1.02)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
