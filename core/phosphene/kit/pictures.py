"""Encode images, and arrange them."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_picture", "from_picture", "grid_of", "grid_png", "panel_shape", "pillow", "png_bytes"]

GAP = 2


def png_bytes(image: NDArray[np.floating[Any]]) -> bytes:
    """Encode an image ``(H, W, C)`` in [0, 1] as a PNG; see `as_picture`."""
    buffer = io.BytesIO()
    pillow(as_picture(image)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def grid_png(images: NDArray[np.floating[Any]]) -> bytes:
    """Encode images ``(N, H, W, C)`` in a near-square grid as a PNG."""
    return png_bytes(grid_of(images)[0])


def grid_of(images: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], int]:
    """Arrange images in a near-square grid; also returns its number of columns."""
    count = len(images)
    images = np.asarray(images)
    pictures = [as_picture(image) for image in images]
    height, width, channels = as_picture(np.zeros(images.shape[1:], np.float32)).shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(pictures):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas, columns


def pillow(image: NDArray[np.floating[Any]]) -> Any:
    """Convert an image ``(H, W, 1 or 3)`` in [0, 1] to an 8-bit image of Pillow."""
    from PIL import Image

    pixels = np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)


def as_picture(image: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Make an image viewable: grey and RGB images stay as they are, other channels are shown side by side in grey.

    Parameters
    ----------
    image : (H, W, C)
        In [0, 1].

    Returns
    -------
    numpy.ndarray (H', W', 1 or 3)
    """
    height, width, channels = image.shape
    if channels in (1, 3):
        return np.asarray(image, np.float32)
    picture = np.ones(panel_shape(height, width, channels), np.float32)
    for channel, place in enumerate(_panels((height, width, channels))):
        picture[*place, 0] = image[..., channel]
    return picture


def panel_shape(height: int, width: int, channels: int) -> tuple[int, int, int]:
    """Shape of what `as_picture` makes of an image of this shape."""
    if channels in (1, 3):
        return height, width, channels
    columns = math.ceil(math.sqrt(channels))
    return math.ceil(channels / columns) * (height + 1) - 1, columns * (width + 1) - 1, 1


def from_picture(picture: NDArray[np.floating[Any]], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Recover the image ``(H, W, C)`` of `shape` from `as_picture`."""
    if shape[-1] in (1, 3):
        return np.asarray(picture, np.float32)
    return np.stack([picture[*place, 0] for place in _panels(shape)], axis=-1).astype(np.float32)


def _panels(shape: tuple[int, int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the panel of each channel; panels are one pixel apart."""
    height, width, channels = shape
    columns = math.ceil(math.sqrt(channels))
    corners = [((channel // columns) * (height + 1), (channel % columns) * (width + 1)) for channel in range(channels)]
    return [(slice(top, top + height), slice(left, left + width)) for top, left in corners]
