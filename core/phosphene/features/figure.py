"""The figure of `Features`: strength and components of the directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import DIVERGING, GREY, colour_bar, figure_class, finished, fitted
from phosphene.kit.pictures import as_picture

if TYPE_CHECKING:
    from phosphene.features.result import Features

__all__ = ["plot_features"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind readers."""

MOST_DIRECTIONS, MOST_CHANNELS = 24, 40
"""Limits of a figure; more could not be read."""


GAP = 4
"""Pixels between photographs."""


def plot_features(found: Features) -> Any:
    """Draw `Features`; see `Features.plot`."""
    count, channels = found.vectors.shape
    rows = min(count, MOST_DIRECTIONS)
    vectors = found.vectors[:rows]
    # Of many channels, those with the largest components, in their own order.
    kept = np.sort(np.argsort(-np.abs(vectors).max(axis=0, initial=0), kind="stable")[:MOST_CHANNELS])
    shown = len(found.photographs) > 0 and rows > 0
    figure = figure_class()(figsize=(9.0 + 3.6 * shown, 1.5 + (0.55 if shown else 0.22) * rows), layout="constrained")
    left, right, *beside = figure.subplots(1, 2 + shown, width_ratios=[1.0, 3.0, 2.2][: 2 + shown])
    for axis in beside:
        _photographs(axis, found, rows)
    left.barh(np.arange(rows), found.strength[:rows], color=BLUE)
    left.set_ylim(max(rows, 1) - 0.5, -0.5)
    left.set_xlabel("share of all codes", fontsize=8)
    left.set_ylabel("direction" + (f", {rows} of {count}" if rows < count else ""), fontsize=8)
    left.set_title(
        f"{fitted(found.layer, 1.5, 8)} by {found.method}: {found.explained:.1%} explained", fontsize=8, loc="left"
    )
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
    return finished(figure)


def _photographs(axis: Any, found: Features, rows: int) -> None:
    """Draw the photographs of each direction in the row of its bar."""
    some = found.photographs[:rows]
    _, many, height, width, _ = some.shape
    for row in range(rows):
        for place in range(many):
            if found.top[row, place] < 0:
                continue
            picture = as_picture(some[row, place])
            # In units of rows: as high as a bar and its gap, as wide as the image is in proportion.
            scale = 1.0 / (max(height, width) + GAP)
            middle = place + 0.5, float(row)
            box = (
                middle[0] - width * scale / 2,
                middle[0] + width * scale / 2,
                middle[1] + height * scale / 2,
                middle[1] - height * scale / 2,
            )
            grey = picture.shape[-1] == 1
            axis.imshow(
                picture[..., 0] if grey else picture,
                extent=box,
                aspect="auto",
                cmap=GREY if grey else None,
                vmin=0,
                vmax=1,
            )
    axis.set_xlim(0, many)
    axis.set_ylim(rows - 0.5, -0.5)
    axis.axis("off")
    axis.set_title("images on which it is strongest", fontsize=8)
