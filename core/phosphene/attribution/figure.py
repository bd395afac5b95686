"""The figure of `Attribution`: each image beside its map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.attribution.result import PERCENTILE
from phosphene.kit.figures import DIVERGING, SEQUENTIAL, colour_bar, finished, fitted, grid, show_image
from phosphene.kit.maps import normalised, smoothed

if TYPE_CHECKING:
    from phosphene.attribution.result import Attribution

__all__ = ["plot_attribution"]


SMOOTHING = 0.015
"""Standard deviation of the blur of a map with a value per pixel when it is laid over its image, as a share of the side."""

PANEL = 1.55
"""Width of a panel in inches."""

OPAQUE = 0.9
"""Opacity of the strongest value; small values are transparent."""


def plot_attribution(found: Attribution, *, overlay: bool = True, columns: int | None = None) -> Any:
    """Draw `Attribution`; see `Attribution.plot`."""
    count = len(found)
    wide = columns or max(1, math.ceil(math.sqrt(count / 2)))
    figure, axes = grid(2 * count, 2 * wide, (PANEL, 1.7), extra=0.8)
    low, colour_map = (-1.0, DIVERGING) if found.signed else (0.0, SEQUENTIAL)
    colours: dict[str, Any] = {"cmap": colour_map, "vmin": low, "vmax": 1.0}
    title = found.title + (f"\n{fitted(found.layer, PANEL, 8)}" if found.layer else "")
    shown, scale = found.maps, "share of each image's largest value"
    if _by_pixel(found):
        scale = f"share of the {PERCENTILE:g}th percentile of each image"
        if overlay:
            # Single pixels are too small to be seen over a photograph, and neighbours of opposite sign alternate.
            radius = max(0.5, SMOOTHING * min(found.maps.shape[1:]))
            shown, scale = normalised(smoothed(shown, radius), PERCENTILE), f"{scale}, smoothed"
    for index in range(count):
        left, right = axes[2 * index : 2 * index + 2]
        show_image(left, found.images[index])
        value = f"{found.values[index]:.3g}"
        left.set_title(f"{fitted(found.labels[index], PANEL - 0.08 * (2 + len(value)), 8)}  {value}", fontsize=8)
        alpha = None
        if overlay:
            right.imshow(found.images[index].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
            strength = np.abs(np.nan_to_num(shown[index]))
            # The middle of the diverging colours is light: small values would be a veil over the photograph.
            alpha = np.clip(strength**0.75 if found.signed else np.sqrt(strength), 0, OPAQUE)
        right.imshow(shown[index], alpha=alpha, interpolation="bilinear", **colours)
        right.set_title(title if np.all(np.isfinite(found.maps[index])) else f"{title} (not finite)", fontsize=8)
    colour_bar(figure, axes, scale, **colours)
    return finished(figure)


def _by_pixel(found: Attribution) -> bool:
    """Whether the map has a value per pixel; class activation maps and windows are coarser."""
    return found.raw.shape == found.images.shape
