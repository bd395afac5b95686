"""TIFF files of kinds that Pillow cannot read, or reads wrong: read by tifffile where it is installed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.formats import check_size
from phosphene.data.ranges import LUMA, Wanted, scaled
from phosphene.errors import CorruptFile

__all__ = ["AS_THEY_ARE", "BITS", "PHOTOMETRIC", "SIGN", "beyond_pillow", "by_tifffile", "is_tiff"]

BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA, SIGN = 258, 262, 277, 284, 338, 339
"""Tags: bits of a value, what 0 means, channels, whether they lie apart, what is behind the colours, signed or floats."""

AS_THEY_ARE = {2: "LA", 4: "RGBA"}
"""The mode of Pillow that has so many channels which are taken as they are."""

_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Kinds of transparency: colours are multiplied by it already, or not."""


def is_tiff(stream: Any) -> bool:
    """Whether a file begins like a TIFF."""
    stream.seek(0)
    return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def beyond_pillow(picture: Any, channels: int) -> bool:
    """Whether Pillow opens a TIFF, but would read other values than the file holds, or leave out channels that are wanted."""
    if picture.format != "TIFF":
        return False
    tags = picture.tag_v2
    deep = max(tags.get(BITS, (8,))) > 8
    apart = tags.get(PLANAR) == 2 and tags.get(SAMPLES, 1) > 1
    associated = deep and tags.get(EXTRA, (0,))[0] == _ASSOCIATED
    signed = picture.mode == "L" and tags.get(SIGN, (1,))[0] == 2
    others = channels not in (1, 3) and picture.mode != AS_THEY_ARE.get(channels)
    return (deep and apart) or associated or signed or others


def by_tifffile(stream: Any, wanted: Wanted) -> NDArray[np.float32]:
    """Read the first picture of a TIFF.

    Parameters
    ----------
    stream : binary file object
        That can be gone back in.
    wanted : Wanted

    Returns
    -------
    numpy.ndarray (H, W, C) float32
        In [0, 1].

    Raises
    ------
    CorruptFile
        When tifffile is not installed, or the file is of a kind that is not read, too large or truncated.
    InvalidImages
        When its values are of no known range, or it has not the channels that are wanted.
    """
    try:
        import tifffile
    except ImportError as error:
        raise CorruptFile(
            wanted.name,
            "cannot be read as an image: a TIFF of a kind that Pillow does not read. Install tifffile (pip install tifffile), "
            "or save the picture with 8 bits, or in grey with 16",
        ) from error
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        height, width, have = page.imagelength, page.imagewidth, page.samplesperpixel
        check_size(wanted.name, (height, width * max(1, have)))
        if (
            page.imagedepth != 1
            or page.photometric not in (0, 1, 2)
            or page.dtype is None
            or page.dtype.kind not in "iuf"
        ):
            kind = f"{getattr(page.photometric, 'name', page.photometric)}, {page.bitspersample} bits"
            raise CorruptFile(wanted.name, f"cannot be read as an image: a TIFF of a kind that is not read ({kind})")
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if length < 1 or start + length > end:
                raise CorruptFile(wanted.name, "cannot be read as an image (image file is truncated)")
        values = np.asarray(page.asarray())
        apart = page.planarconfig == 2 and have > 1
        values = values.reshape((have, height, width) if apart else (height, width, have))
        values = np.moveaxis(values, 0, -1) if apart else values
        return wanted.of(_opaque(_unit(values, page, wanted.name), [int(kind) for kind in page.extrasamples], wanted))


def _unit(values: NDArray[Any], page: Any, name: str) -> NDArray[np.float32]:
    """Values in [0, 1], 0 for black."""
    whole = values.dtype.kind in "iu"
    signed = values.dtype.kind == "i"
    pixels = scaled(values, (1 << (int(page.bitspersample) - signed)) - 1 if whole else None, name)
    return 1 - pixels if page.photometric == 0 else pixels


def _opaque(pixels: NDArray[np.float32], behind: list[int], wanted: Wanted) -> NDArray[np.float32]:
    """Lay colours on what shines through; `behind` has the kind of each channel behind the colours."""
    colours = pixels.shape[-1] - len(behind)
    if wanted.channels not in (1, 3) or colours not in (1, 3) or not behind:
        return pixels
    if behind[0] not in (_ASSOCIATED, _UNASSOCIATED):
        # Red, green and blue of many channels are colours still; the first of many channels is no picture in grey.
        return pixels[..., :3] if colours == 3 else pixels
    opaque, pixels = pixels[..., colours : colours + 1], pixels[..., :colours]
    if colours == 1 and len(set(wanted.colour)) > 1 and wanted.channels == 3:
        pixels = np.repeat(pixels, 3, axis=-1)
    colour = np.asarray(wanted.colour, np.float32)
    below = colour if pixels.shape[-1] == 3 else (colour @ LUMA)[None]
    shown = pixels * opaque if behind[0] == _UNASSOCIATED else pixels
    return np.clip(shown + below * (1 - opaque), 0, 1)
