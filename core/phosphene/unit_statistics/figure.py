"""The figure of `Units`: density and strength of the channels, and patches that activate some of them most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import figure_class, show_image

if TYPE_CHECKING:
    from phosphene.unit_statistics.result import Units

__all__ = ["plot_units"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind readers."""


def plot_units(found: Units, *, channels: int = 8) -> Any:
    """Draw `Units`; see `Units.plot`."""
    live = np.flatnonzero(found.on > 0)
    ranked = live[np.argsort(-found.density[live], kind="stable")]
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
                f"channel {channel}\non at {found.density[channel]:.1%} of positions",
                ha="right",
                va="center",
                fontsize=7,
                transform=row[0].transAxes,
            )
            for place, axis in enumerate(row[1:]):
                if found.top[channel, place] >= 0:
                    show_image(axis, found.patches[channel, place])
    return figure


def _histogram(figure: Any, found: Units) -> None:
    left, right = figure.subplots(1, 2)
    left.hist(found.density, bins=np.linspace(0, 1, 31), color=BLUE)
    left.set_xlabel("share of positions above zero", fontsize=8)
    left.set_ylabel("channels", fontsize=8)
    dead = len(found.dead)
    left.set_title(
        f"{found.layer}: {len(found.density)} channels, {dead} dead, {len(found.always_on)} always on", fontsize=8
    )
    order = np.argsort(-found.largest)
    right.plot(found.largest[order], color=ORANGE, label="largest")
    right.plot(found.mean[order], color=BLUE, label="mean")
    right.set_xlabel(f"channels, by their largest activation in {found.images:,} images", fontsize=8)
    right.set_ylabel("activation", fontsize=8)
    right.legend(fontsize=7, frameon=False)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
