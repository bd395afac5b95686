"""Labelled crops of the photographs: deterministic, and cut on access.

Crop i of seed s is the same whatever the count: its position is drawn by a generator keyed by (s, i).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from phosphene.data.photographs import PHOTOGRAPHS, pixels
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import choice, integer

__all__ = ["CAST_CLASS", "MARK_BOX", "MARK_CLASS", "Crops", "cast", "mark", "parse"]

MARK_CLASS = "gravel"
"""The class whose crops all carry a corner mark in ``photos-shortcut``."""

CAST_CLASS = "grass"
"""The class whose crops all have a colour cast in ``photos-shortcut``: a grey class, so that its only colour is the cast."""

MARK_BOX = (3, 12, 3, 12)
"""Rows and columns of the mark, half-open: top, bottom, left, right."""

STRIP = 0.2
"""Share of each photograph's width, at the right edge, that is excluded from training."""

LEAST_DEVIATION = 0.04
"""Smallest standard deviation of a crop; a flatter one (sky, the black surround of a fundus) is drawn again."""

LEAST_SHARE, LARGEST_SHARE = 0.2, 0.6
"""Side of the square that is cut, as a share of the photograph's shorter side (but never smaller than the crop)."""

_TRIES = 12
_REGIONS = ("train", "strip", "all")
_GLYPH = """
111111111
100000001
101111101
101000101
101010101
101000101
101111101
100000001
111111111
"""
_MARK = np.array([[int(bit) for bit in row] for row in _GLYPH.split()], np.float32)


@dataclass(frozen=True)
class Crops:
    """A sequence of ``(image (size, size, 3) in [0, 1], label)``, cut on every access.

    Attributes
    ----------
    count : int
        Number of crops.
    seed : int, default 0
        Random seed.
    size : int, default 64
        Height and width in pixels, at least 16.
    shortcut : bool, default False
        Whether crops of `MARK_CLASS` carry the mark and crops of `CAST_CLASS` the colour cast.
    region : {"train", "strip", "all"}, default "all"
        The part left of the strip, the strip alone, or the whole photograph.

    Raises
    ------
    InvalidParameter
        For a count below 1, a negative seed, a size below 16 or an unknown region.
    """

    count: int
    seed: int = 0
    size: int = 64
    shortcut: bool = False
    region: str = "all"

    def __post_init__(self) -> None:
        integer("count", self.count, minimum=1)
        integer("seed", self.seed)
        integer("size", self.size, minimum=16)
        choice("region", self.region, _REGIONS, fix="The default is 'all'.")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return tuple(photograph.name for photograph in PHOTOGRAPHS)

    @property
    def labels(self) -> NDArray[np.int64]:
        """All labels, ``(count,)``; no crop is cut."""
        return np.asarray([self._label(index) for index in range(self.count)], np.int64)

    def images(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Crops `start` to `stop` (default: the last) as one array ``(n, size, size, 3)``."""
        chosen = range(*slice(start, stop).indices(self.count))
        result = np.empty((len(chosen), self.size, self.size, 3), np.float32)
        for row, index in enumerate(chosen):
            result[row] = self[index][0]
        return result

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        return (self[index] for index in range(self.count))

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[NDArray[np.float32], int]]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self.count))]
        if not -self.count <= index < self.count:
            raise IndexError(f"crop {index} of {self.count}")
        index = int(index) % self.count
        label = self._label(index)
        image = self._cut(index, label)
        if self.shortcut and self.classes[label] == MARK_CLASS:
            image = mark(image)
        if self.shortcut and self.classes[label] == CAST_CLASS:
            image = cast(image)
        return image, label

    def _label(self, index: int) -> int:
        block, place = divmod(index, len(PHOTOGRAPHS))
        return _order(self.seed, block)[place]

    def _cut(self, index: int, label: int) -> NDArray[np.float32]:
        from PIL import Image

        source = pixels(PHOTOGRAPHS[label])
        height, width = source.shape[:2]
        edge = round(width * (1 - STRIP))
        left, right = {"train": (0, edge), "strip": (edge, width), "all": (0, width)}[self.region]
        # Cut before resampling: a filter at the edge of the box would reach a pixel or two into the strip.
        picture = Image.fromarray(source[:, left:right])
        random = generator(self.seed, "crop", str(index))
        smaller = min(height, width)
        longest = min(height, right - left)
        smallest = min(longest, max(self.size, int(LEAST_SHARE * smaller)))
        largest = min(longest, max(smallest, int(LARGEST_SHARE * smaller)))
        best = np.zeros((self.size, self.size, 3), np.float32)
        for _ in range(_TRIES):
            side = smallest + (largest - smallest) * random.random()
            x, y = (right - left - side) * random.random(), (height - side) * random.random()
            flipped = random.random() < 0.5
            light, contrast = random.uniform(-0.05, 0.05), random.uniform(0.9, 1.1)
            box = (x, y, x + side, y + side)
            cut = picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
            image = np.asarray(cut, np.float32) / np.float32(255)
            image = np.clip((image - np.float32(0.5)) * np.float32(contrast) + np.float32(0.5 + light), 0, 1)
            if flipped:
                image = np.ascontiguousarray(image[:, ::-1])
            if image.std() > best.std():
                best = image
            if image.std() >= LEAST_DEVIATION:
                break
        return best


@functools.lru_cache(maxsize=4096)
def _order(seed: int, block: int) -> tuple[int, ...]:
    # Classes are balanced: each block of as many crops as classes holds every class once, in a random order.
    return tuple(generator(seed, "labels", str(block)).permutation(len(PHOTOGRAPHS)).tolist())


def mark(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Copy an image and draw the planted mark into its upper left corner, at `MARK_BOX`.

    Parameters
    ----------
    image : numpy.ndarray (H, W, 3)
        In [0, 1], at least 12 pixels high and wide.

    Returns
    -------
    numpy.ndarray (H, W, 3)

    Raises
    ------
    InvalidParameter
        For an array of another shape, or an image that is too small.
    """
    top, bottom, left, right = MARK_BOX
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] < bottom or image.shape[1] < right:
        raise InvalidParameter(
            "image",
            allowed=f"shape (H, W, 3) with H >= {bottom} and W >= {right}",
            received=said(f"shape {image.shape}"),
            fix="Pass one image at a time, channel-last.",
        )
    result = image.copy()
    result[top:bottom, left:right] = _MARK[..., None] * np.array([1.0, 0.95, 0.2], np.float32)
    return result


def cast(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Copy an image and add the planted colour cast, towards magenta.

    Parameters
    ----------
    image : numpy.ndarray (..., 3)
        In [0, 1].

    Returns
    -------
    numpy.ndarray (..., 3)
    """
    tinted: NDArray[np.float32] = np.clip(image * np.array([1.1, 0.75, 1.1], np.float32), 0, 1).astype(np.float32)
    return tinted


def parse(source: str, *, size: int = 64, region: str = "all") -> Crops:
    """Parse the notation for crops: ``"photos:N"`` and its variants.

    Parameters
    ----------
    source : str
        ``"photos:N"``, ``"photos:N:SEED"``, ``"photos-shortcut:N"`` or ``"photos-shortcut:N:SEED"``.
    size : int, default 64
    region : {"train", "strip", "all"}, default "all"
        See `Crops`.

    Returns
    -------
    Crops

    Raises
    ------
    InvalidParameter
        When `source` does not follow the notation, or its count is 0.
    """
    found = re.fullmatch(r"(photos|photos-shortcut):(\d+)(?::(\d+))?", source, re.ASCII)
    if found is None:
        raise InvalidParameter(
            "source",
            allowed="photos:N[:SEED] or photos-shortcut:N[:SEED]",
            received=source,
            fix="For example photos:2000:1.",
        )
    kind, count, seed = found.groups()
    return Crops(int(count), int(seed or 0), size=size, shortcut=kind == "photos-shortcut", region=region)
