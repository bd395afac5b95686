"""Images as they are named on a command line, brought to what a network takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data import Crops, parse
from phosphene.data.sources import FileSource, Source, source_of
from phosphene.data.streaming import stream
from phosphene.types import Size

__all__ = ["FittedCrops", "labels_of", "read_images", "source_at"]

MOST_DRAWN = 64
"""Images that a figure can show; more are a matter for a store, a table or a plot of points."""


@dataclass(frozen=True)
class FittedCrops(Source):
    """Crops of the photographs for a network whose images are no squares, or grey: the middle of each."""

    crops: Crops
    size: Size
    channels: int

    def __len__(self) -> int:
        return len(self.crops)

    def image(self, index: int) -> NDArray[Any]:
        whole = self.crops[index][0]
        top, left = ((side - wanted) // 2 for side, wanted in zip(whole.shape, self.size, strict=False))
        cut = whole[top : top + self.size[0], left : left + self.size[1]]
        return cut.mean(axis=-1, keepdims=True) if self.channels == 1 else cut

    def identity(self) -> str:
        return f"{self.crops!r} {self.size} {self.channels}"


def source_at(place: str, size: Size, channels: int = 3) -> Source:
    """The images at a place.

    Parameters
    ----------
    place : str
        A folder, searched to the bottom; a picture; a text file with a path on each line; or ``photos:N[:SEED]``.
    size, channels : (int, int), int
        What the network takes.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        When there is nothing at that place.
    """
    if place.partition(":")[0] in ("photos", "photos-shortcut") and (size[0] != size[1] or channels != 3):
        return FittedCrops(parse(place, size=max(*size, 16)), size, channels)
    return source_of(place, size, channels)


def read_images(place: str, size: Size, channels: int = 3, *, most: int | None = None) -> NDArray[np.float32]:
    """The images at a place as one array ``(N, H, W, C)``; see `source_at`.

    Raises
    ------
    InvalidParameter
        When there are more than `most`.
    """
    from phosphene.errors import InvalidParameter, said

    source = source_at(place, size, channels)
    if most is not None and len(source) > most:
        raise InvalidParameter(
            "images", allowed=f"at most {most} in one figure", received=said(f"{len(source):,}"),
            fix="Name fewer, or write .npz or a store.",
        )  # fmt: skip
    return np.concatenate([whole for whole, _ in stream(source, size, channels, 64)])


def labels_of(place: str, source: Source) -> NDArray[np.str_] | None:
    """A name an image: its photograph, or the subfolder it lies in; nothing where images do not come in subfolders."""
    crops = source.crops if isinstance(source, FittedCrops) else getattr(source, "items", None)
    if isinstance(crops, Crops):
        return np.asarray([crops.classes[label] for label in crops.labels])
    if not isinstance(source, FileSource) or not Path(place).expanduser().is_dir():
        return None
    root = Path(place).expanduser()
    names = [path.relative_to(root).parts for path in source.paths]
    found = [parts[0] if len(parts) > 1 else "." for parts in names]
    return np.asarray(found) if set(found) != {"."} else None
