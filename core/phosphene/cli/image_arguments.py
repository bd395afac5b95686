"""Images that are named on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.data.locations import CropSource, FileSource, source_at
from phosphene.data.source import Source
from phosphene.data.streams import stream
from phosphene.types import Size

__all__ = ["labels_of", "photograph", "read_images"]

MOST_DRAWN = 64
"""Largest number of images in one figure."""


def read_images(place: str, size: Size, channels: int = 3, *, most: int | None = None) -> NDArray[np.float32]:
    """Return the images at a place as one array ``(N, H, W, C)``; see `phosphene.data.locations.source_at`.

    Raises
    ------
    InvalidParameter
        If there are more than `most`.
    """
    from phosphene.errors import InvalidParameter, said

    source = source_at(place, size, channels)
    if most is not None and len(source) > most:
        raise InvalidParameter(
            "images",
            allowed=f"at most {most} images in one figure",
            received=said(f"{len(source):,}"),
            fix="Use fewer images, or write an .npz file or a store.",
        )
    return np.concatenate([whole for whole, _ in stream(source, size, channels, 64)])


def photograph(path: Path, size: int | Size | None, channels: int = 3) -> NDArray[np.float32]:
    """Return an image file as ``(H, W, C)`` with the channels that a network takes (default size: its own).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFile
        If the file is not an image, or is damaged.
    """
    from phosphene.kit.pictures import read_image

    picture = read_image(path, size)
    return picture.mean(axis=-1, keepdims=True) if channels == 1 else picture


def labels_of(place: str, source: Source) -> NDArray[np.str_] | None:
    """Return a label per image, its photograph or its subfolder; None for images that are not in subfolders."""
    if isinstance(source, CropSource):
        return np.asarray([source.crops.classes[label] for label in source.crops.labels])
    if not isinstance(source, FileSource) or not Path(place).expanduser().is_dir():
        return None
    root = Path(place).expanduser()
    names = [path.relative_to(root).parts for path in source.paths]
    found = [parts[0] if len(parts) > 1 else "." for parts in names]
    return np.asarray(found) if set(found) != {"."} else None
