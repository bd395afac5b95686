"""Image files in, and the bytes of images out."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile
from phosphene.results import as_picture

__all__ = ["grid_of", "grid_png", "pillow", "png_bytes", "read_image"]

GAP = 2


def read_image(path: str | Path, size: int | tuple[int, int] | None = None) -> NDArray[np.float32]:
    """A picture file as RGB ``(H, W, 3)`` in [0, 1]; with `size`, a side or height and width, its central part resized to that.

    Raises
    ------
    CorruptFile
        When it is no picture, or a damaged one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise CorruptFile(str(path), f"no picture that can be read ({error})") from error
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    pixels: NDArray[np.float32] = np.asarray(picture, np.float32) / np.float32(255)
    return pixels


def png_bytes(image: NDArray[np.floating[Any]]) -> bytes:
    """An image ``(H, W, C)`` in [0, 1] as the bytes of a PNG; channels that are no colours stand side by side."""
    buffer = io.BytesIO()
    pillow(as_picture(image)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def grid_png(images: NDArray[np.floating[Any]]) -> bytes:
    """Images ``(N, H, W, C)`` in a near-square grid as the bytes of a PNG."""
    return png_bytes(grid_of(images)[0])


def grid_of(images: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], int]:
    """Images in a near-square grid, and its number of columns."""
    images = np.stack([as_picture(image) for image in images])
    count, height, width, channels = images.shape
    columns = max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas, columns


def pillow(image: NDArray[np.floating[Any]]) -> Any:
    """An image ``(H, W, 1 or 3)`` in [0, 1] as one of Pillow, in bytes."""
    from PIL import Image

    pixels = np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels)
