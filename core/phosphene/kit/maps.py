"""Resizing and normalisation of maps, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Size

__all__ = ["normalised", "smoothed", "upsample"]


def upsample(maps: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float32]:
    """Resize maps ``(N, h, w)`` to `size` by bilinear interpolation."""
    from PIL import Image

    if maps.shape[1:] == tuple(size):
        return np.asarray(maps, np.float32)
    pictures = [Image.fromarray(np.asarray(one, np.float32)) for one in maps]
    return np.stack(
        [np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float32) for picture in pictures]
    )


def normalised(maps: NDArray[np.floating[Any]], percentile: float | None = None) -> NDArray[np.float32]:
    """Divide each map by its largest absolute value; a map of zeros is unchanged.

    Parameters
    ----------
    maps : (N, H, W)
        Values that are not finite become NaN and do not count.
    percentile : float, optional
        Divide by this percentile of the absolute values that are not zero instead, and clip to [-1, 1]: of a map with a value
        per pixel the single largest would leave the others near zero (Smilkov et al. 2017).
    """
    finite = np.where(np.isfinite(maps), maps, np.nan)
    peaks = np.zeros(len(maps))
    for index, one in enumerate(finite):
        sizes = np.abs(one[np.isfinite(one) & (one != 0)])
        if sizes.size:
            peaks[index] = sizes.max() if percentile is None else np.percentile(sizes, percentile)
    scaled = finite / np.where(peaks > 0, peaks, 1)[:, None, None]
    return np.asarray(scaled if percentile is None else np.clip(scaled, -1, 1), np.float32)


def smoothed(maps: NDArray[np.floating[Any]], radius: float) -> NDArray[np.float32]:
    """Blur maps ``(N, H, W)`` by a Gaussian of that standard deviation in pixels; values that are not finite count as zero."""
    result = np.nan_to_num(np.asarray(maps, np.float64), posinf=0.0, neginf=0.0)
    reach = max(1, round(3 * radius))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / radius))
    kernel /= kernel.sum()
    for axis in (1, 2):
        around = [(reach, reach) if axis == own else (0, 0) for own in range(3)]
        padded, side = np.pad(result, around, mode="edge"), result.shape[axis]
        shifted = [np.take(padded, np.arange(start, start + side), axis=axis) for start in range(len(kernel))]
        result = np.tensordot(kernel, np.stack(shifted), axes=1)
    return np.asarray(result, np.float32)
