"""Sprite sheets: one sheet per block of the map, so that a browser decodes only what it shows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import MissingDependency
from phosphene.kit.checks import share

__all__ = ["ACROSS", "LARGEST", "Sheet", "cropped", "encode", "lay", "share_of"]

ACROSS = 12
"""Pictures per row of a sheet, and cells per side of the block of the map that it covers."""

LARGEST = 80
"""Maximum side of a picture in pixels, so that no sheet is wider than 960 pixels."""


@dataclass(frozen=True)
class Sheet:
    """A sheet of pictures of one series.

    Attributes
    ----------
    name : str
        Name of its block in the page: lower-case letters, digits and hyphens.
    first : int
        Index of its first picture in the series.
    count : int
        Number of pictures.
    pixels : (rows * side, columns * side, 3) uint8
    rank : int
        Order of loading; sheets of high rank are the first to leave the page if it is too large.
    """

    name: str
    first: int
    count: int
    pixels: NDArray[np.uint8]
    rank: int


def cropped(images: NDArray[np.uint8], crop: float, largest: int = LARGEST) -> NDArray[np.uint8]:
    """The central square of images ``(P, H, W, C)``, with `crop` of their shorter side, as RGB of at most `largest` pixels."""
    height, width = images.shape[1:3]
    side = max(1, round(min(height, width) * crop))
    top, left = (height - side) // 2, (width - side) // 2
    part = images[:, top : top + side, left : left + side]
    channels = part.shape[-1]
    if channels == 2:
        part = np.concatenate([part, part[..., :1] * 0], axis=-1)
    part = np.repeat(part, 3, axis=-1) if channels == 1 else part[..., :3]
    if side <= largest:
        return np.ascontiguousarray(part)
    pillow = _pillow()
    small = np.empty((len(part), largest, largest, 3), np.uint8)
    for number, picture in enumerate(part):
        small[number] = np.asarray(
            pillow.fromarray(np.ascontiguousarray(picture)).resize((largest, largest), pillow.Resampling.LANCZOS)
        )
    return small


def lay(pictures: NDArray[np.uint8], across: int) -> NDArray[np.uint8]:
    """Arrange pictures ``(P, S, S, 3)`` in rows of `across`; the rest of the last row is grey."""
    count, side = len(pictures), pictures.shape[1]
    columns = min(count, across)
    rows = -(-count // columns)
    padded = np.full((rows * columns, side, side, 3), 128, np.uint8)
    padded[:count] = pictures
    return padded.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)


def encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode a picture ``(H, W, 3)`` as WebP.

    Raises
    ------
    MissingDependency
        When Pillow was built without WebP.
    """
    pillow, stream = _pillow(), io.BytesIO()
    try:
        pillow.fromarray(pixels).save(stream, "WEBP", quality=quality, method=4)
    except (KeyError, OSError) as error:
        raise MissingDependency("pillow", "demo") from error
    return stream.getvalue()


def share_of(crop: object) -> float:
    """Check the argument `crop`: a share of an icon's side."""
    return share("crop", crop, zero=False, example=1)


def _pillow() -> Any:
    from PIL import Image

    return Image
