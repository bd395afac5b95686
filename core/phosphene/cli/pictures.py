"""Images as they are named on a command line, brought to what a network takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.data.places import CropSource, FileSource, source_at
from phosphene.data.source import Source
from phosphene.data.streaming import stream
from phosphene.types import Size

__all__ = ["labels_of", "photograph", "read_images"]

MOST_DRAWN = 64
"""Images that a figure can show; more are a matter for a store, a table or a plot of points."""


def read_images(place: str, size: Size, channels: int = 3, *, most: int | None = None) -> NDArray[np.float32]:
    """The images at a place as one array ``(N, H, W, C)``; see `phosphene.data.places.source_at`.

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


def photograph(path: Path, size: int | Size | None, channels: int = 3) -> NDArray[np.float32]:
    """One picture file as ``(H, W, C)`` in the colours that a network takes, at its own size where none is given.

    Raises
    ------
    FileNotFoundError
        When there is none.
    CorruptFile
        When it is no picture, or a damaged one.
    """
    from phosphene.files import read_image

    picture = read_image(path, size)
    return picture.mean(axis=-1, keepdims=True) if channels == 1 else picture


def labels_of(place: str, source: Source) -> NDArray[np.str_] | None:
    """A name an image: its photograph, or the subfolder it lies in; nothing where images do not come in subfolders."""
    if isinstance(source, CropSource):
        return np.asarray([source.crops.classes[label] for label in source.crops.labels])
    if not isinstance(source, FileSource) or not Path(place).expanduser().is_dir():
        return None
    root = Path(place).expanduser()
    names = [path.relative_to(root).parts for path in source.paths]
    found = [parts[0] if len(parts) > 1 else "." for parts in names]
    return np.asarray(found) if set(found) != {"."} else None
