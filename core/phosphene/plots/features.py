"""`Features` and `Concept` as figures: what directions are made of, and a concept among random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.plots.figures import DIVERGING, colour_bar, figure_class
from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.results import Concept, Features

__all__ = ["plot_concept", "plot_features"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""Of the palette of Okabe and Ito (2008), which the colour-blind can tell apart."""

MOST_DIRECTIONS, MOST_CHANNELS = 24, 40
"""That a figure shows; more could not be read."""


def plot_features(found: Features) -> Any:
    """See `phosphene.results.Features.plot`."""
    count, channels = found.vectors.shape
    rows = min(count, MOST_DIRECTIONS)
    vectors = found.vectors[:rows]
    # Of many channels those that any direction shown leans on most, in their own order.
    kept = np.sort(np.argsort(-np.abs(vectors).max(axis=0), kind="stable")[:MOST_CHANNELS])
    figure = figure_class()(figsize=(9.0, 1.5 + 0.22 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 3.0])
    left.barh(np.arange(rows), found.strength[:rows], color=BLUE)
    left.set_ylim(rows - 0.5, -0.5)
    left.set_xlabel("share of all codes", fontsize=8)
    left.set_ylabel("direction" + (f", {rows} of {count}" if rows < count else ""), fontsize=8)
    left.set_title(f"{found.layer} by {found.method}: {found.explained:.1%} explained", fontsize=8, loc="left")
    left.spines[["top", "right"]].set_visible(False)
    most = float(np.abs(vectors).max()) or 1.0
    right.imshow(vectors[:, kept], cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    right.set_xticks(np.arange(len(kept)), [str(channel) for channel in kept], rotation=90)
    right.set_xlabel("channel" + (f", {len(kept)} of {channels}" if len(kept) < channels else ""), fontsize=8)
    right.set_yticks([])
    for axis in (left, right):
        axis.tick_params(labelsize=7)
    colour_bar(figure, [right], "part of the direction", cmap=DIVERGING, vmin=-most, vmax=most)
    return figure


def plot_concept(found: Concept) -> Any:
    """See `phosphene.results.Concept.plot`."""
    panels = [(found.accuracy, found.accuracy_null, found.p_present, f"read at {found.layer}: accuracy")]
    if found.target:
        panels.append((found.sensitivity, found.sensitivity_null, found.p_used, f"used by {found.target}: sensitivity"))
    figure = figure_class()(figsize=(3.4 * len(panels), 2.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (own, null, chance, title) in zip(axes, panels, strict=True):
        _among(axis, own, null, found.label)
        axis.set_xlabel(f"{title} (p = {chance:.3f})", fontsize=8)
    axes[0].set_ylabel("random concepts", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _among(axis: Any, own: float, null: Floats, label: str) -> None:
    axis.hist(null, bins=15, color=BLUE, label="random concepts")
    axis.axvline(own, color=ORANGE, linewidth=2, label=label)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
