"""Resizing and normalisation of maps, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Size

__all__ = ["normalised", "upsample"]


def upsample(maps: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float32]:
    """Resize maps ``(N, h, w)`` to `size` by bilinear interpolation."""
    from PIL import Image

    if maps.shape[1:] == tuple(size):
        return np.asarray(maps, np.float32)
    pictures = [Image.fromarray(np.asarray(one, np.float32)) for one in maps]
    return np.stack(
        [np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float32) for picture in pictures]
    )


def normalised(maps: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Divide each map by its largest absolute value; a map of zeros is unchanged."""
    peak = np.abs(maps).reshape(len(maps), -1).max(axis=1)[:, None, None]
    return np.asarray(maps / np.where(peak > 0, peak, 1), np.float32)
