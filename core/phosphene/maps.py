"""Maps of an image: brought to its size, and to a scale on which they can be drawn. NumPy, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Size

__all__ = ["normalised", "upsample"]


def upsample(maps: NDArray[np.floating[Any]], size: Size) -> NDArray[np.float32]:
    """Maps ``(N, h, w)`` at `size`, by bilinear interpolation between the centres of their cells."""
    from PIL import Image

    if maps.shape[1:] == tuple(size):
        return np.asarray(maps, np.float32)
    pictures = [Image.fromarray(np.asarray(one, np.float32)) for one in maps]
    return np.stack(
        [np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), np.float32) for picture in pictures]
    )


def normalised(maps: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Each map divided by its largest absolute value; one that is zero everywhere stays so."""
    peak = np.abs(maps).reshape(len(maps), -1).max(axis=1)[:, None, None]
    return np.asarray(maps / np.where(peak > 0, peak, 1), np.float32)
