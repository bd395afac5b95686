"""How a picture of any size is brought to the size that a network takes: cropped, padded or stretched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.interface import FITS
from phosphene.kit.checks import choice, listed, number, pair_of, sequence, share
from phosphene.types import Size

__all__ = ["RULES", "Colour", "Fit", "colour_of"]

RULES = FITS
"""The ways to bring a picture to another aspect ratio."""

Colour = float | tuple[float, ...]
"""A grey in [0, 1], or one number for each channel."""

_MODES = ("L", "RGB", "F")

Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Fit:
    """A rule that brings pictures of any size to one size.

    Attributes
    ----------
    rule : {"crop", "pad", "stretch"}, default "crop"
        ``"crop"`` takes the largest central part that has the aspect ratio of the size, ``"pad"`` takes the whole picture and
        fills what is left on two sides, ``"stretch"`` takes the whole picture and changes its aspect ratio.
    fraction : float in (0, 1], default 1.0
        Share of the height and width of that part that is kept about its centre: 224 / 256 for a network whose pictures are
        resized to 256 pixels, of which the central 224 are cut out.
    background : float or tuple of float in [0, 1], default 0.5
        What ``"pad"`` fills with: a grey, or one number for each channel.

    Raises
    ------
    InvalidParameter
        For an unknown rule, a fraction outside (0, 1], or a background outside [0, 1].

    Notes
    -----
    Pictures are resized by Lanczos interpolation, which smooths before it makes smaller. It reaches beyond the darkest and the
    lightest value at sharp edges: values are clipped to [0, 1], or to the range of the picture where that is wider.
    """

    rule: str = "crop"
    fraction: float = 1.0
    background: Colour = 0.5

    def __post_init__(self) -> None:
        choice("fit", self.rule, RULES, fix="The default is 'crop'.")
        object.__setattr__(self, "fraction", share("fraction", self.fraction, zero=False, example=0.875))
        object.__setattr__(self, "background", colour_of("background", self.background))

    def apply(self, picture: Picture, size: int | Size, *, extent: tuple[float, float] | None = None) -> Picture:
        """Bring one picture to a size.

        Parameters
        ----------
        picture : PIL.Image.Image or numpy.ndarray (H, W, C)
            An image of Pillow of mode L, RGB or F, or an array of floats or bytes with any number of channels. Bytes stay bytes.
        size : int or (int, int)
            Side, or height and width, in pixels.
        extent : (float, float), optional
            Height and width of `picture` that count, where its last row or column is only partly picture (default: all).

        Returns
        -------
        PIL.Image.Image or numpy.ndarray (size[0], size[1], C)
            Of the kind of `picture`; floats are float32.

        Raises
        ------
        InvalidParameter
            For a size that is not one or two integers of at least 1, or a background of another number of channels.
        InvalidImages
            For what is no picture, an array that is not ``(H, W, C)`` or holds neither floats nor bytes, and an image of Pillow
            of another mode.
        """
        size = pair_of("size", size)
        fitted: Any
        if isinstance(picture, np.ndarray):
            fitted = self._array(picture, size)
        elif getattr(picture, "mode", None) in _MODES:
            fitted = self._pillow(picture, size, extent)
        else:
            raise InvalidImages(
                "picture",
                allowed=f"an array (H, W, C), or an image of Pillow of mode {listed(_MODES)}",
                received=said(f"mode {picture.mode}") if hasattr(picture, "mode") else picture,
                fix="Convert it first: picture.convert('RGB').",
            )
        return cast(Picture, fitted)

    def _array(self, picture: NDArray[Any], size: Size) -> NDArray[Any]:
        from PIL import Image

        if picture.ndim != 3 or 0 in picture.shape:
            raise InvalidImages(
                "picture",
                allowed="shape (H, W, C)",
                received=said(f"shape {picture.shape}"),
                fix="Give one picture at a time, channel-last.",
            )
        whole = picture.dtype == np.uint8
        if not whole and not np.issubdtype(picture.dtype, np.floating):
            raise InvalidImages(
                "picture",
                allowed="floats in [0, 1] or bytes",
                received=said(f"dtype {picture.dtype}"),
                fix="Divide by the largest value of the dtype.",
            )
        channels = picture.shape[-1]
        colour = _channels(self.background, channels)
        planes = np.ascontiguousarray(np.moveaxis(picture, -1, 0), np.uint8 if whole else np.float32)
        # Channel by channel, since Pillow has floats for one channel only.
        fitted = np.stack(
            [
                np.asarray(Fit(self.rule, self.fraction, grey)._pillow(Image.fromarray(plane), size, None))
                for plane, grey in zip(planes, colour, strict=True)
            ],
            axis=-1,
        )
        if whole:
            return fitted
        clipped: NDArray[Any] = np.clip(fitted, min(0.0, float(planes.min())), max(1.0, float(planes.max())))
        return clipped

    def _pillow(self, picture: Any, size: Size, extent: tuple[float, float] | None) -> Any:
        from PIL import Image

        height, width = extent or (picture.height, picture.width)
        box = self.box((height, width), size)
        target = self._target((height, width), size)
        if target == picture.size[::-1] and box == (0.0, 0.0, *map(float, picture.size)):
            resized = picture
        else:
            resized = picture.resize(target[::-1], Image.Resampling.LANCZOS, box=box)
        if target == size:
            return resized
        colour = _channels(self.background, len(picture.getbands()))
        values = tuple(colour) if picture.mode == "F" else tuple(round(255 * value) for value in colour)
        canvas = Image.new(picture.mode, size[::-1], values if len(values) > 1 else values[0])
        canvas.paste(resized, ((size[1] - target[1]) // 2, (size[0] - target[0]) // 2))
        return canvas

    def reduction(self, extent: tuple[float, float], size: Size) -> float:
        """How many times smaller a picture of height and width `extent` becomes when it is brought to `size`."""
        left, top, right, bottom = self.box(extent, size)
        height, width = self._target(extent, size)
        return min((bottom - top) / height, (right - left) / width)

    def box(self, extent: tuple[float, float], size: Size) -> tuple[float, float, float, float]:
        """The part of a picture that is kept.

        Parameters
        ----------
        extent : (float, float)
            Height and width of the picture.
        size : (int, int)
            Height and width to which it is brought.

        Returns
        -------
        (float, float, float, float)
            Left, top, right and bottom.
        """
        height, width = extent
        high, wide = float(height), float(width)
        if self.rule == "crop":
            ratio, wanted = width / height, size[1] / size[0]
            if ratio > wanted:
                wide = wanted * height
            elif ratio < wanted:
                high = width / wanted
        if self.fraction < 1:
            high, wide = max(self.fraction * high, min(1.0, high)), max(self.fraction * wide, min(1.0, wide))
        left, top = (width - wide) * 0.5, (height - high) * 0.5
        return left, top, min(left + wide, float(width)), min(top + high, float(height))

    def _target(self, extent: tuple[float, float], size: Size) -> Size:
        """Height and width of the picture itself, without what is filled in around it."""
        if self.rule != "pad":
            return size
        scale = min(size[0] / extent[0], size[1] / extent[1])
        height, width = (max(1, min(round(side * scale), most)) for side, most in zip(extent, size, strict=True))
        return height, width


def colour_of(name: str, value: Any) -> Colour:
    """Check a grey in [0, 1], or one number in [0, 1] for each channel.

    Raises
    ------
    InvalidParameter
    """
    if isinstance(value, (int, float, np.integer, np.floating)):
        return share(name, value)
    fix = f"For example {name}=0.5, or {name}=(0.5, 0.5, 0.5)."
    items = sequence(name, value, "a grey in [0, 1], or one number for each channel", fix)
    if not items:
        raise InvalidParameter(name, allowed="at least one number", received=value, fix=fix)
    return tuple(number(name, item, minimum=0.0, maximum=1.0, example=0.5) for item in items)


def _channels(colour: Colour, channels: int) -> tuple[float, ...]:
    values = (colour,) * channels if isinstance(colour, (int, float)) else colour
    if len(values) != channels:
        raise InvalidParameter(
            "background",
            allowed=f"one number, or {channels}: one for each channel",
            received=colour,
            fix="For example background=0.5.",
        )
    return values
