"""The figure of `Attribution`: each image beside its map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import DIVERGING, SEQUENTIAL, colour_bar, grid, show_image

if TYPE_CHECKING:
    from phosphene.attribution.result import Attribution

__all__ = ["plot_attribution"]


def plot_attribution(found: Attribution, *, overlay: bool = True, columns: int | None = None) -> Any:
    """Draw `Attribution`; see `Attribution.plot`."""
    count = len(found)
    wide = columns or max(1, math.ceil(math.sqrt(count / 2)))
    figure, axes = grid(2 * count, 2 * wide, (1.55, 1.7), extra=0.8)
    low, colour_map = (-1.0, DIVERGING) if found.signed else (0.0, SEQUENTIAL)
    colours: dict[str, Any] = {"cmap": colour_map, "vmin": low, "vmax": 1.0}
    title = found.method.replace("_", " ") + (f", {found.layer}" if found.layer else "")
    for index in range(count):
        left, right = axes[2 * index : 2 * index + 2]
        show_image(left, found.images[index])
        left.set_title(f"{found.labels[index]}  {found.values[index]:.3g}", fontsize=8)
        alpha = None
        if overlay:
            right.imshow(found.images[index].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
            # Small values are transparent.
            alpha = np.clip(0.25 + np.abs(found.maps[index]), 0, 0.9)
        right.imshow(found.maps[index], alpha=alpha, interpolation="bilinear", **colours)
        right.set_title(title, fontsize=8)
    colour_bar(figure, axes, "share of each image's largest value", **colours)
    return figure
