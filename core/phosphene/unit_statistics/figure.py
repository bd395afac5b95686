"""The figure of `Units`: density and strength of the channels, and patches that activate some of them most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import figure_class, finished, fitted, show_image
from phosphene.unit_statistics.result import NO_FLOOR

if TYPE_CHECKING:
    from phosphene.unit_statistics.result import Units

__all__ = ["plot_units"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind readers."""


def plot_units(found: Units, *, channels: int = 8) -> Any:
    """Draw `Units`; see `Units.plot`."""
    live = np.flatnonzero((found.on > 0) if found.floor else np.isfinite(found.largest))
    ranked = live[np.argsort(-(found.density if found.floor else found.largest)[live], kind="stable")]
    places = np.unique(np.linspace(0, max(0, len(ranked) - 1), min(channels, len(ranked))).round().astype(int))
    shown = [int(ranked[place]) for place in places]
    count = found.patches.shape[1]
    figure = figure_class()(figsize=(7.0, 2.8 + 0.75 * len(shown)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[2.8, max(0.1, 0.75 * len(shown))])
    _histogram(above, found)
    if shown:
        axes = below.subplots(len(shown), count + 1, squeeze=False, width_ratios=[2.2, *([1.0] * count)])
        for row, channel in zip(axes, shown, strict=True):
            for axis in row:
                axis.axis("off")
            row[0].text(
                1.0,
                0.5,
                f"{fitted(found.name(channel), 1.8, 7)}\n"
                + (
                    f"on at {found.density[channel]:.1%} of positions"
                    if found.floor
                    else f"largest {found.largest[channel]:.3g}"
                ),
                ha="right",
                va="center",
                fontsize=7,
                transform=row[0].transAxes,
            )
            for place, axis in enumerate(row[1:]):
                if found.top[channel, place] >= 0:
                    show_image(axis, found.patches[channel, place])
                    if found.patches.shape[2] == 1:  # a signal: a line of one pixel could not be seen
                        axis.set_aspect("auto")
    return finished(figure)


def _histogram(figure: Any, found: Units) -> None:
    left, right = figure.subplots(1, 2)
    known = np.isfinite(found.largest)
    count = len(found.density)
    layer = fitted(found.layer, 1.4, 8)
    if found.floor:
        left.hist(found.density[known], bins=np.linspace(0, 1, 31), color=BLUE)
        left.set_xlabel("share of positions above zero", fontsize=8)
        title = f"{layer}: {count} channels, {len(found.dead)} dead, {len(found.always_on)} always on"
    else:
        left.hist(found.mean[known], bins=30, color=BLUE)
        left.set_xlabel(f"mean (dead, always on, density:\n{NO_FLOOR})", fontsize=8)
        title = f"{layer}: {count} channels"
    left.set_ylabel("channels", fontsize=8)
    left.set_title(title + (f", {len(found.unknown)} not finite" if len(found.unknown) else ""), fontsize=8)
    order = np.flatnonzero(known)[np.argsort(-found.largest[known])]
    right.plot(found.largest[order], color=ORANGE, label="largest")
    right.plot(found.mean[order], color=BLUE, label="mean")
    right.set_xlabel(f"channels, by their largest activation in {found.images:,} images", fontsize=8)
    right.set_ylabel("activation", fontsize=8)
    right.legend(fontsize=7, frameon=False)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
