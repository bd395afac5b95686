"""The figure of `Features`: strength and components of the directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import DIVERGING, colour_bar, figure_class

if TYPE_CHECKING:
    from phosphene.features.result import Features

__all__ = ["plot_features"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind readers."""

MOST_DIRECTIONS, MOST_CHANNELS = 24, 40
"""Limits of a figure; more could not be read."""


def plot_features(found: Features) -> Any:
    """Draw `Features`; see `Features.plot`."""
    count, channels = found.vectors.shape
    rows = min(count, MOST_DIRECTIONS)
    vectors = found.vectors[:rows]
    # Of many channels, those with the largest components, in their own order.
    kept = np.sort(np.argsort(-np.abs(vectors).max(axis=0, initial=0), kind="stable")[:MOST_CHANNELS])
    figure = figure_class()(figsize=(9.0, 1.5 + 0.22 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 3.0])
    left.barh(np.arange(rows), found.strength[:rows], color=BLUE)
    left.set_ylim(max(rows, 1) - 0.5, -0.5)
    left.set_xlabel("share of all codes", fontsize=8)
    left.set_ylabel("direction" + (f", {rows} of {count}" if rows < count else ""), fontsize=8)
    left.set_title(f"{found.layer} by {found.method}: {found.explained:.1%} explained", fontsize=8, loc="left")
    left.spines[["top", "right"]].set_visible(False)
    most = float(np.abs(vectors).max(initial=0)) or 1.0
    if rows:
        right.imshow(vectors[:, kept], cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    right.set_xticks(np.arange(len(kept)), [str(channel) for channel in kept], rotation=90)
    right.set_xlabel("channel" + (f", {len(kept)} of {channels}" if len(kept) < channels else ""), fontsize=8)
    right.set_yticks([])
    for axis in (left, right):
        axis.tick_params(labelsize=7)
    colour_bar(figure, [right], "part of the direction", cmap=DIVERGING, vmin=-most, vmax=most)
    return figure
