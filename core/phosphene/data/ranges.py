"""Values of any range and number of channels, brought to [0, 1], to the channels and to the size that are wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.fitting import Fit
from phosphene.errors import InvalidImages, said
from phosphene.types import Size

__all__ = ["LUMA", "Wanted", "scaled"]

LOG = logging.getLogger("phosphene")

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey, those of Pillow (ITU-R 601-2)."""


@dataclass(frozen=True)
class Wanted:
    """What a picture is brought to.

    Attributes
    ----------
    channels : int
        1 for grey, 3 for red, green and blue, any other number for the channels as they are.
    size : (int, int) or None
        Height and width; None for the picture as it is.
    fit : Fit
    colour : (float, float, float)
        What shines through where the picture is transparent.
    name : str
        How messages call the picture.
    """

    channels: int
    size: Size | None
    fit: Fit
    colour: tuple[float, ...]
    name: str

    @property
    def below(self) -> NDArray[np.float32]:
        """The colour that shines through, in one or three channels."""
        colour = np.asarray(self.colour, np.float32)
        return (colour @ LUMA)[None] if self.channels == 1 else colour

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring floats ``(H, W, C)`` to the channels and the size that are wanted."""
        have = pixels.shape[-1]
        if have == 3 and self.channels == 1:
            pixels = pixels @ LUMA[:, None]
        elif have != self.channels and (have, self.channels) != (1, 3):
            raise self.other_channels(have)
        if self.size is not None:
            pixels = self.fit.apply(pixels, self.size)
        # Grey is made three channels last: there is less to resize.
        return np.repeat(pixels, 3, axis=-1) if (have, self.channels) == (1, 3) else pixels

    def other_channels(self, have: int) -> InvalidImages:
        """The error of a picture that has not the channels that are wanted."""
        return InvalidImages(
            self.name,
            allowed=f"a picture of {self.channels} channel{'s' * (self.channels != 1)}",
            received=said(f"one of {have}"),
            fix="Choose the channels yourself, and give an array (H, W, C).",
        )


def scaled(values: NDArray[Any], white: int | None, name: str) -> NDArray[np.float32]:
    """Divide values by what is white.

    Parameters
    ----------
    values : numpy.ndarray
    white : int or None
        The value that is white; None for floats, which are in [0, 1] already.
    name : str
        How messages call the picture.

    Returns
    -------
    numpy.ndarray of float32
        In [0, 1].

    Raises
    ------
    InvalidImages
        For floats beyond [0, 1], negative values, and integers so small that all would be black: their range is not known.
    """
    low, high = values.min(), values.max()
    if white is None:
        if not (low >= -1e-6 and high <= 1 + 1e-6):  # true for NaN as well
            raise InvalidImages(
                name,
                allowed="floats in [0, 1]",
                received=said(f"values from {low:.4g} to {high:.4g}"),
                fix="Divide by the largest value that is possible, and find where NaN values come from.",
            )
        return values.astype(np.float32)
    if low < 0 or 0 < high < white / 255:
        raise InvalidImages(
            name,
            allowed=f"values from 0, black, to {white}, white",
            received=said(f"values from {low} to {high}"),
            fix="Divide by the largest value that is possible, and give a float array in [0, 1] or a file of 8 or 16 bits.",
        )
    if white > 255 and 0 < 16 * int(high) <= white:
        LOG.warning(
            "%s: its largest value is %d, and %d is white: the picture is dark. Divide it by its own range if it has fewer bits "
            "than its file",
            name,
            high,
            white,
        )
    return values.astype(np.float32) / np.float32(white)
