"""The pixels of an image file, or of an image of Pillow, as they are: scaled by the range of their own kind.

Whatever a file holds comes out in one way: grey or colour, 0 is black and the largest value is white. Values of 8 bits stay bytes;
values of more bits, and floats, become floats in [0, 1].
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.fitting import Colour, Fit, colour_of
from phosphene.data.formats import (
    FORMATS,
    Source,
    check_size,
    image_files,
    is_image,
    is_image_file,
    opened,
    shown,
    stream_of,
)
from phosphene.data.ranges import Wanted, scaled
from phosphene.data.tiff import AS_THEY_ARE, BITS, PHOTOMETRIC, SIGN, beyond_pillow, by_tifffile, is_tiff
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter, said
from phosphene.kit.checks import integer, pair_of
from phosphene.types import Size

__all__ = ["WHITE", "decoded", "from_pillow", "image_files", "is_image", "is_image_file"]

LOG = logging.getLogger("phosphene")

WHITE = 1.0
"""What shines through where a picture is transparent: white, as in browsers."""

LEAST_SURPLUS = 3
"""How many times larger than needed a JPEG is still decoded: what is left to resize is smoothed as usual."""

_ORIENTATION = 0x0112
_WHOLE = Fit()


def decoded(
    source: Source,
    *,
    channels: int = 3,
    size: int | Size | None = None,
    fit: Fit = _WHOLE,
    background: Colour = WHITE,
    name: str | None = None,
) -> NDArray[Any]:
    """Read an image file.

    Parameters
    ----------
    source : str, PathLike, bytes or binary file object
        An image file: its path, its content, or a file object that is open, which is read from its beginning and stays open. The
        format is told by the content, not by the name; see `phosphene.data.formats.FORMATS`.
    channels : int, default 3
        1 for grey (colours are weighted as the eye does) or 3 for red, green and blue. Any other number takes the channels of
        the file as they are, if it has that many.
    size : int or (int, int), optional
        Side, or height and width, in pixels, to which the picture is brought by `fit` (default: the picture as it is).
    fit : Fit, optional
        How it is brought there: by default, the largest central part of that aspect ratio is resized.
    background : float or (float, float, float) in [0, 1], default 1.0
        The grey or colour on which transparent pictures are laid.
    name : str, optional
        How messages call it (default: the path).

    Returns
    -------
    numpy.ndarray (H, W, channels)
        uint8 for a file of up to 8 bits a channel, float32 in [0, 1] for others. Of colours of 16 bits, Pillow keeps 8.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When the file is no regular file, not an image of these formats, damaged, or of more than
        `phosphene.data.formats.LARGEST_PICTURE` pixels; when its values are of no known range; when it has not `channels`
        channels.
    InvalidParameter
        For an argument outside what is allowed.

    Notes
    -----
    Integers are divided by the largest value of their own kind: 65535 for 16 bits, 4095 for 12 bits in a TIFF of 12 bits,
    2147483647 for signed integers of 32 bits. Floats are taken in [0, 1]. Negative values, floats beyond [0, 1], and integers
    so small that all would be black, are refused by name, since their range cannot be known.

    A picture is turned as its EXIF orientation says. Of several frames the first is read, and the log says so. Colour profiles
    are not applied.

    A JPEG that is much larger than `size` is decoded at 1/2, 1/4 or 1/8 of its size, but never below three times the size
    needed: on photographs, values differ by 0.25 / 255 on average.
    """
    from PIL import UnidentifiedImageError

    called = _name_of(source) if name is None else shown(name)
    wanted = _wanted(channels, size, fit, background, called)
    try:
        with stream_of(source) as stream:
            try:
                with opened(stream, called) as picture:
                    if not beyond_pillow(picture, channels):
                        return _pixels(picture, wanted)
            except CorruptFile as error:
                if not isinstance(error.__cause__, UnidentifiedImageError) or not is_tiff(stream):
                    raise
            return by_tifffile(stream, wanted)
    except (FileNotFoundError, CorruptFile):
        raise
    except InvalidImages as error:
        # It is the file that does not fit, and a file that cannot be used is passed over where that is asked for.
        raise CorruptFile(called, str(error).removeprefix(f"{called}: ")) from error
    except InvalidParameter:
        raise
    except MemoryError as error:
        raise CorruptFile(called, "cannot be read as an image: there is not enough memory") from error
    except Exception as error:
        # Decoders share no exception for damaged files: OSError, SyntaxError, struct.error, zlib.error, EOFError and others.
        raise CorruptFile(called, f"cannot be read as an image ({error})") from error


def from_pillow(
    image: Any,
    channels: int = 3,
    size: int | Size | None = None,
    fit: Fit = _WHOLE,
    background: Colour = WHITE,
    *,
    name: str = "picture",
) -> NDArray[Any]:
    """Take the pixels of an image of Pillow, which stays as it is; see `decoded`.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode. The frame at which it stands is read.
    channels : int, default 3
    size : int or (int, int), optional
    fit : Fit, optional
    background : float or (float, float, float) in [0, 1], default 1.0
    name : str, default "picture"
        How messages call it.

    Returns
    -------
    numpy.ndarray (H, W, channels)
        uint8 or float32 in [0, 1].

    Raises
    ------
    InvalidImages
        When it is no image of Pillow, its values are of no known range, or it has not `channels` channels; also for a file that
        is opened and not yet read, of a format that is not read here.
    CorruptFile
        When it is a file that is opened and not yet read, and is damaged.
    InvalidParameter
        For another argument outside what is allowed.
    """
    from PIL import Image, ImageFile, ImageOps

    wanted = _wanted(channels, size, fit, background, name)
    if not isinstance(image, Image.Image):
        raise InvalidImages(
            name,
            allowed="an image of Pillow",
            received=image,
            fix="Read files with PIL.Image.open, or give their path.",
        )
    waits = isinstance(image, ImageFile.StubImageFile) or (isinstance(image, ImageFile.ImageFile) and bool(image.tile))
    if waits and image.format not in FORMATS:
        # Its decoder would start now, and may be another program.
        raise InvalidImages(
            name,
            allowed=f"an image that is in memory, or a file of {', '.join(FORMATS)}",
            received=said(f"a file of {image.format} that is opened and not yet read"),
            fix="If you trust the file, call its method load() first.",
        )
    check_size(name, image.size[::-1])
    try:
        kind = _Kind.of(image)
        return _values(ImageOps.exif_transpose(image), kind, wanted)
    except (InvalidParameter, CorruptFile):
        raise
    except Exception as error:
        raise CorruptFile(name, f"cannot be read as an image ({error})") from error


@dataclass(frozen=True)
class _Kind:
    """What the values of an image of Pillow mean; an image that is turned or copied does not tell any more."""

    white: int | None = None
    """The value that is white, where an image has more than 8 bits."""

    inverted: bool = False
    """Whether 0 is white."""

    unsigned: bool = False
    """Whether its signed integers are the bits of unsigned ones."""

    reduced: bool = False
    """Whether Pillow keeps 8 bits of more, as it does of colours."""

    @classmethod
    def of(cls, picture: Any) -> _Kind:
        deep = picture.mode == "I" or picture.mode.startswith("I;16")
        tags = picture.tag_v2 if picture.format == "TIFF" else {}
        if not deep and picture.mode != "F":
            coded = [str(tile[3]) for tile in getattr(picture, "tile", [])] if picture.format == "PNG" else []
            return cls(reduced=max(tags.get(BITS, (8,))) > 8 or any(";16" in how for how in coded))
        inverted = tags.get(PHOTOMETRIC) == 0
        if not deep:
            return cls(None, inverted)
        narrow = picture.mode != "I" or picture.format in ("PNG", "PPM")
        bits, signed = (16, False) if narrow else (32, True)
        if tags:
            bits, signed = int(tags.get(BITS, (bits,))[0]), tags.get(SIGN, (1,))[0] == 2
        return cls((1 << (bits - signed)) - 1, inverted, bits == 32 and not signed)


def _wanted(channels: int, size: Any, fit: Fit, background: Colour, name: str) -> Wanted:
    if not isinstance(fit, Fit):
        raise InvalidParameter("fit", allowed="a Fit", received=fit, fix="For example Fit('pad').")
    colour = colour_of("background", background)
    colours = (colour,) * 3 if isinstance(colour, (int, float)) else colour
    if len(colours) != 3:
        raise InvalidParameter(
            "background",
            allowed="a grey, or red, green and blue",
            received=background,
            fix="For example background=1.0, which is white.",
        )
    channels = integer("channels", channels, minimum=1)
    return Wanted(channels, None if size is None else pair_of("size", size), fit, colours, name)


def _name_of(source: Any) -> str:
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return shown(name) if isinstance(name, str) else "image"


def _pixels(picture: Any, wanted: Wanted) -> NDArray[Any]:
    """The pixels of a file that is opened and not yet decoded; `picture` is used up."""
    from PIL import ImageOps

    kind = _Kind.of(picture)
    if getattr(picture, "is_animated", False):
        _say_first(wanted.name, picture.format)
    if kind.reduced and isinstance(picture.info.get("transparency"), tuple):
        # Pillow keeps the upper 8 of the 16 bits, but not those of the colour that is transparent.
        picture.info["transparency"] = tuple(value >> 8 for value in picture.info["transparency"])
    extent = None
    if wanted.size is not None and picture.format in ("JPEG", "MPO"):
        extent = _draft(picture, wanted.size, wanted.fit)
    ImageOps.exif_transpose(picture, in_place=True)
    return _values(picture, kind, wanted, extent)


def _draft(picture: Any, size: Size, fit: Fit) -> tuple[float, float] | None:
    """Let a JPEG be decoded at a part of its size if it is much larger than `size`; the height and width that count then."""
    width, height = picture.size
    orientation = picture.getexif().get(_ORIENTATION, 1)
    reduction = fit.reduction((height, width), size[::-1] if orientation in (5, 6, 7, 8) else size)
    for part in (8, 4, 2):
        # A last row that is only partly picture would come to lie at another edge when the picture is turned.
        whole = width % part == height % part == 0
        if part * LEAST_SURPLUS <= reduction and (orientation == 1 or whole):
            picture.draft(picture.mode, (width // part, height // part))
            drafted = picture.size == (-(-width // part), -(-height // part))
            return (height / part, width / part) if drafted and not whole else None
    return None


def _values(picture: Any, kind: _Kind, wanted: Wanted, extent: tuple[float, float] | None = None) -> NDArray[Any]:
    """The pixels of an image of Pillow that stands upright; `extent` as in `Fit.apply`."""
    if kind.white is not None or picture.mode == "F":
        return _deep(picture, kind, wanted)
    if wanted.channels not in (1, 3):
        if picture.mode != AS_THEY_ARE.get(wanted.channels):
            raise wanted.other_channels(len(picture.getbands()))
        pixels = np.asarray(picture)
        return pixels if wanted.size is None else wanted.fit.apply(pixels, wanted.size)
    if kind.reduced:
        return _reduced(picture, wanted)
    picture = _opaque(picture, "L" if wanted.channels == 1 else "RGB", wanted.colour)
    if wanted.size is not None:
        picture = wanted.fit.apply(picture, wanted.size, extent=extent)
    pixels = np.asarray(picture)
    return pixels[..., None] if wanted.channels == 1 else pixels


def _opaque(picture: Any, mode: str, colour: tuple[float, ...]) -> Any:
    """An image of 8 bits as grey or RGB, laid on a colour where it is transparent."""
    from PIL import Image

    if picture.mode == "LAB":
        from PIL import ImageCms

        picture = ImageCms.profileToProfile(
            picture, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if picture.has_transparency_data:
        above = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
        below = Image.new("RGB", picture.size, tuple(round(255 * part) for part in colour))
        # Image.alpha_composite rounds down.
        picture = Image.composite(above.convert("RGB"), below, above.getchannel("A"))
    return picture if picture.mode == mode else picture.convert(mode)


def _reduced(picture: Any, wanted: Wanted) -> NDArray[np.float32]:
    """The pixels of colours of which Pillow kept 8 bits of more: floats, so that nothing is rounded a second time."""
    pixels = np.asarray(picture.convert("RGBA" if picture.has_transparency_data else "RGB"), np.float32) / np.float32(
        255
    )
    if pixels.shape[-1] == 4:
        pixels = pixels[..., :3] * pixels[..., 3:] + np.asarray(wanted.colour, np.float32) * (1 - pixels[..., 3:])
    return wanted.of(pixels)


def _deep(picture: Any, kind: _Kind, wanted: Wanted) -> NDArray[np.float32]:
    """The pixels of an image of one channel with more than 8 bits, or of floats."""
    if wanted.channels not in (1, 3):
        raise wanted.other_channels(1)
    values = np.asarray(picture)
    if kind.unsigned:
        values = values.view(np.uint32)
    pixels = scaled(values, kind.white, wanted.name)[..., None]
    if kind.inverted:
        pixels = 1 - pixels
    key = picture.info.get("transparency")
    if isinstance(key, int) and (clear := (values == key)[..., None]).any():
        pixels = np.where(clear, wanted.below, pixels)
    return wanted.of(pixels)


@functools.lru_cache(maxsize=4096)
def _said_before(folder: str, kind: str) -> list[str]:
    return []


def _say_first(name: str, kind: str) -> None:
    """Log that only the first frame is read, once for a folder and a format."""
    said_before = _said_before(str(Path(name).parent), kind)
    if not said_before:
        said_before.append(name)
        LOG.warning("%s has several frames: the first frame is read, of this and of every %s beside it", name, kind)
