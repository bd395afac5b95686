"""Pictures side by side in sheets, so that a browser decodes a block of the map at once and no more."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, MissingDependency, said

__all__ = ["ACROSS", "LARGEST", "Sheet", "cropped", "encode", "lay", "share_of"]

ACROSS = 12
"""Pictures in a row of a sheet, and cells along a side of the block of the map that it shows."""

LARGEST = 80
"""Pixels of a picture's side, at most, so that no sheet is wider than 960 px."""


@dataclass(frozen=True)
class Sheet:
    """Some pictures of one series.

    Attributes
    ----------
    name : str
        Of its block in the page: small letters, digits and hyphens.
    first : int
        Number of its first picture in the series.
    count : int
    pixels : (rows * side, columns * side, 3) uint8
    rank : int
        How early it is wanted: what has a high one leaves the page first.
    """

    name: str
    first: int
    count: int
    pixels: NDArray[np.uint8]
    rank: int


def cropped(images: NDArray[np.uint8], share: float, largest: int = LARGEST) -> NDArray[np.uint8]:
    """The central square of images ``(P, H, W, C)``, `share` of their shorter side, in colour and at most `largest` pixels wide."""
    height, width = images.shape[1:3]
    side = max(1, round(min(height, width) * share))
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
    """Pictures ``(P, S, S, 3)`` in rows of `across`; what is left over of the last row is grey."""
    count, side = len(pictures), pictures.shape[1]
    columns = min(count, across)
    rows = -(-count // columns)
    padded = np.full((rows * columns, side, side, 3), 128, np.uint8)
    padded[:count] = pictures
    return padded.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)


def encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A picture ``(H, W, 3)`` as WebP.

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
    """A share of an image's side, checked."""
    if isinstance(crop, bool) or not isinstance(crop, int | float) or not 0 < crop <= 1:
        raise InvalidParameter(
            "crop", allowed="a share of the image's side in (0, 1], or one a layer", received=said(repr(crop)),
            fix="1 shows whole icons; 0.625 is the central 40 of 64 pixels.",
        )  # fmt: skip
    return float(crop)


def _pillow() -> Any:
    from PIL import Image

    return Image
