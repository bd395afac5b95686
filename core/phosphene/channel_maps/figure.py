"""The figure of `FeatureMaps`: one panel per map, lines if the maps have one axis, slices if they have more than two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.figures import (
    DIVERGING,
    GREY,
    SEQUENTIAL,
    colour_bar,
    figure_class,
    finished,
    fitted,
    grid,
    legend,
    show_image,
)
from phosphene.kit.maps import upsample

if TYPE_CHECKING:
    from phosphene.channel_maps.result import FeatureMaps

__all__ = ["plot_feature_maps"]

PANEL = 1.35
"""Width of a map in inches."""


def plot_feature_maps(
    found: FeatureMaps, *, over_image: bool = False, shared: bool = True, grey: bool = False, columns: int | None = None
) -> Any:
    """Draw `FeatureMaps`; see `FeatureMaps.plot`."""
    if found.maps.ndim == 3:
        return _lines(found)
    images, kinds = found.maps.shape[:2]
    maps, over_image = _montages(found.maps), over_image and found.maps.ndim == 4
    figure, axes = grid(images * (kinds + 1), columns or (kinds + 1 if images > 1 else None), (PANEL, 1.5), extra=0.8)
    # Values that are not finite are gaps, and slices have gaps between them.
    maps = np.where(np.isfinite(maps), maps, np.nan)
    signed, peak = bool(np.any(maps < 0)), _peak(maps)
    colours: dict[str, Any] = {"cmap": DIVERGING if signed else GREY if grey else SEQUENTIAL}
    colours |= {"vmin": -peak if signed else 0.0, "vmax": peak}
    for row in range(images):
        own = axes[row * (kinds + 1) : (row + 1) * (kinds + 1)]
        show_image(own[0], found.images[row])
        own[0].set_title("image", fontsize=8)
        for place, axis in enumerate(own[1:]):
            one = maps[row, place]
            highest = _peak(one)
            limits = colours if shared else {**colours, "vmin": -highest if signed else 0.0, "vmax": highest}
            if over_image:
                show_image(axis, found.images[row].mean(axis=-1, keepdims=True))
                one = upsample(one[None], found.images.shape[1:3])[0]
                alpha = np.clip(np.nan_to_num(0.2 + np.abs(one) / limits["vmax"]), 0, 0.85)
                axis.imshow(one, alpha=alpha, **limits)
            else:
                axis.imshow(one, interpolation="nearest", **limits)
            value = "" if shared else f"  {highest:.3g}"
            axis.set_title(fitted(found.titles[place], PANEL - 0.08 * len(value), 8) + value, fontsize=8)
    label = f"activation of {fitted(found.layer, 2.5, 7)}"
    if not shared:
        label += ",\neach map on its own scale"
        colours |= {"vmin": -1.0 if signed else 0.0, "vmax": 1.0}
    colour_bar(figure, axes, label, **colours)
    return finished(figure)


def _peak(maps: NDArray[np.floating[Any]]) -> float:
    """Largest absolute value that is finite; 1 if there is none, or all are zero."""
    return float(np.nan_to_num(np.abs(maps)).max(initial=0)) or 1.0


def _montages(maps: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Slices of volumes ``(N, K, ..., h, w)`` in a near-square grid ``(N, K, H, W)``, a gap of NaN between them."""
    if maps.ndim == 4:
        return maps
    images, kinds, height, width = *maps.shape[:2], *maps.shape[-2:]
    slices = maps.reshape(images, kinds, -1, height, width)
    count = slices.shape[2]
    columns = max(1, math.ceil(math.sqrt(count * height / width)))
    rows = math.ceil(count / columns)
    gap = 1
    canvas = np.full((images, kinds, rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, maps.dtype)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[:, :, top : top + height, left : left + width] = slices[:, :, index]
    return canvas


def _lines(found: FeatureMaps) -> Any:
    figure = figure_class()(figsize=(6.0, 1.8 * len(found.maps)), layout="constrained")
    for axis, rows in zip(figure.subplots(len(found.maps), 1, squeeze=False).ravel(), found.maps, strict=True):
        for number, row in enumerate(rows):
            axis.plot(row, linewidth=1.2, label=str(number))
        axis.set_xlabel("position")
        axis.set_ylabel(fitted(found.layer, 1.6, 10))
        legend(axis, [fitted(title, 2.0, 7) for title in found.titles], fontsize=7, frameon=False, ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    return finished(figure)
