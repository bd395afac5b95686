"""The figure of `Parity`: the difference of every layer in forward order.

Colours are those of Okabe and Ito (2008), which are safe for colour-blind readers; the shapes of markers differ as well.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from phosphene.kit.figures import figure_class, finished, fitted
from phosphene.port_parity.certificate import number, sentence

if TYPE_CHECKING:
    from phosphene.port_parity.call import Parity

__all__ = ["plot_parity"]

WIDTH, HEIGHT = 7.0, 4.1
"""Inches; the width of a page of text."""
MOST_TICKS, TICK = 60, 1.7
"""Layers that are named, and inches of their names."""
BLUE, ORANGE, VERMILLION, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#666666"
EQUAL, FOLLOWS, FAULT = "equal", "differs because of earlier layers", "differs by itself (named in this colour)"
STYLES: dict[str, dict[str, Any]] = {
    EQUAL: {"color": BLUE, "marker": "o", "s": 14},
    FOLLOWS: {"color": ORANGE, "marker": "^", "s": 18},
    FAULT: {"color": VERMILLION, "marker": "D", "s": 34},
}


def plot_parity(parity: Parity) -> Any:
    """Draw `Parity`: differences of 0 lie on the lower edge, infinite or NaN ones on the upper edge."""
    rows = parity.rows
    low, high = _limits(parity)
    figure = figure_class()(figsize=(WIDTH, HEIGHT), layout="constrained")
    axis = figure.subplots()
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    axis.set_xlim(-0.02 * len(rows) - 0.5, 1.02 * len(rows) - 0.5)
    axis.axhline(parity.tolerance, color=GREY, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
    axis.annotate(
        f"tolerance {parity.tolerance:g}",
        (0.0, parity.tolerance),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=7,
        color=GREY,
        zorder=2.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )
    kinds = [EQUAL if row.equal else FAULT if row.fault else FOLLOWS for row in rows]
    for kind, style in STYLES.items():
        places = [index for index, found in enumerate(kinds) if found == kind]
        if places:
            heights = [_clipped(rows[index].relative, low, high) for index in places]
            axis.scatter(places, heights, label=kind, linewidths=0, zorder=3, clip_on=False, **style)
    sloped = [index for index, row in enumerate(rows) if row.gradient is not None]
    if sloped:
        heights = [_clipped(rows[index].gradient, low, high) for index in sloped]
        axis.scatter(
            sloped,
            heights,
            s=26,
            marker="s",
            facecolors="none",
            edgecolors=GREEN,
            linewidths=0.9,
            zorder=2,
            clip_on=False,
            label="gradient of the image",
        )
    floors = [(index, row.floor) for index, row in enumerate(rows) if row.floor]
    if floors:
        heights = [_clipped(floor, low, high) for _, floor in floors]
        axis.scatter(
            [index for index, _ in floors],
            heights,
            s=40,
            marker="_",
            color=GREEN,
            linewidths=1.2,
            zorder=2,
            label="... by rounding alone",
        )
    if any(row.relative == 0 or row.gradient == 0 for row in rows):
        _name_edge(axis, "exactly 0", low, "bottom")
    if not all(math.isfinite(row.relative) and math.isfinite(row.gradient or 0.0) for row in rows):
        _name_edge(axis, "not finite", high, "top")
    _point_at_faults(axis, parity, low, high)
    a, b = parity.networks
    axis.set_ylabel("largest difference,\nrelative to the largest value", fontsize=8)
    axis.tick_params(axis="y", labelsize=7, width=0.6)
    axis.minorticks_off()
    _ticks(axis, [row.a for row in rows], {index for index, row in enumerate(rows) if row.fault})
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.6, zorder=0)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_linewidth(0.6)
    heading = f"{_short(a)} and {_short(b)}: {sentence(parity)}."
    figure.suptitle("\n".join(textwrap.wrap(heading, 98)), fontsize=8.5, x=0.01, ha="left")
    figure.legend(
        loc="outside lower left",
        ncols=4,
        fontsize=7,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.4,
        borderpad=0.1,
    )
    return finished(figure)


def _limits(parity: Parity) -> tuple[float, float]:
    """Whole decades that contain all values drawn, the tolerance included."""
    values = [parity.tolerance]
    for row in parity.rows:
        values += [
            value for value in (row.relative, row.gradient, row.floor) if value is not None and 0 < value < math.inf
        ]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0 ** (low - 0.3), 10.0 ** (max(high, low + 2) + (1.0 if parity.faults else 0.3))


def _clipped(value: float | None, low: float, high: float) -> float:
    if value is None or math.isnan(value):
        return high
    return min(max(value, low), high)


def _name_edge(axis: Any, text: str, height: float, side: str) -> None:
    axis.annotate(
        text,
        (1.0, height),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        fontsize=7,
        color=GREY,
        ha="left",
        va=side,
        rotation=90,
        annotation_clip=False,
    )


def _point_at_faults(axis: Any, parity: Parity, low: float, high: float) -> None:
    """Draw a line from each fault down to its name on the axis; the first is also named above, with its difference."""
    for index, row in enumerate(parity.rows):
        if not row.fault:
            continue
        height = _clipped(row.relative, low, high)
        axis.vlines(index, low, height, color=VERMILLION, linewidth=0.6, zorder=2)
        if row.a == parity.parted:
            a, b = (fitted(path, 1.5, 7.5) for path in (row.a, row.b))
            names = a if row.a == row.b else f"{a} (there {b})"
            right = index > 0.5 * len(parity.rows)
            axis.vlines(index, height, high, color=VERMILLION, linewidth=0.6, zorder=2)
            axis.annotate(
                f"{names}: {number(row.relative)}",
                (index, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if right else 3, -1),
                textcoords="offset points",
                fontsize=7.5,
                color=VERMILLION,
                weight="bold",
                ha="right" if right else "left",
                va="top",
                zorder=4,
            )


def _ticks(axis: Any, paths: list[str], faults: set[int]) -> None:
    """Label all layers if there is room; otherwise the faults, both ends, and some in between."""
    apart = max(1, math.ceil(len(paths) / MOST_TICKS))
    places: list[int] = []
    for place in [*sorted(faults), 0, len(paths) - 1, *range(0, len(paths), apart)]:
        if all(abs(place - other) >= apart for other in places):
            places.append(place)
    places.sort()
    size = 6 if len(places) > 32 else 7
    axis.set_xticks(places, [fitted(paths[place], TICK, size) for place in places], rotation=90, fontsize=size)
    for place, text in zip(places, axis.get_xticklabels(), strict=True):
        if place in faults:
            text.set(color=VERMILLION, weight="bold")
    axis.set_xticks(range(len(paths)), minor=True)
    axis.tick_params(axis="x", which="minor", length=1.5, width=0.4)
    axis.tick_params(axis="x", which="major", length=3, width=0.6, pad=1)


def _short(network: Any) -> str:
    return f"{fitted(network['network'], 2.5, 8.5)} ({network['backend']})"
