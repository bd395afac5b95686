"""Images that are named on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import InputSpec
from phosphene.data import in_memory
from phosphene.data.declaration import Images, images
from phosphene.data.locations import CropSource, FileSource
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.errors import InvalidParameter, said

__all__ = ["declared", "labels_of", "read_images"]

MOST_DRAWN = 64
"""Largest number of images in one figure."""


def declared(places: str | list[str], fit: str | None = None, column: str | None = None) -> Images:
    """Return the images of a command: those at one place, or several files.

    Parameters
    ----------
    places : str or list of str
        What `phosphene.images` takes as a text, or several paths, as the shell makes of a pattern.
    fit : str, optional
        The option --fit: a resizing rule, alone or with a share such as "crop:0.875".
    column : str, optional
        The option --column.

    Raises
    ------
    InvalidParameter
        For an invalid option, under its name on the command line.
    """
    given = places[0] if isinstance(places, list) and len(places) == 1 else places
    rule, colon, share = (fit or "").partition(":")
    try:
        fraction = float(share) if colon else None
        return images(given, fit=None if fit is None else rule, fraction=fraction, column=column)
    except ValueError as error:  # of float, or InvalidParameter
        if getattr(error, "parameter", "fit") not in ("fit", "fraction"):
            raise
        raise InvalidParameter(
            "--fit",
            allowed="crop, pad or stretch, or with a share of at most 1 such as crop:0.875",
            received=fit,
            fix="Try --fit crop.",
        ) from error


def read_images(given: Images, spec: InputSpec, *, most: int | None = None) -> NDArray[np.float32]:
    """Return images as one array ``(N, H, W, C)``; see `phosphene.images`.

    Raises
    ------
    InvalidParameter
        If there are more than `most`.
    """
    source = source_of(given, spec)
    if most is not None and len(source) > most:
        raise InvalidParameter(
            "images",
            allowed=f"at most {most} images in one figure",
            received=said(f"{len(source):,}"),
            fix="Use fewer images, or write an .npz file or a store.",
        )
    return in_memory.read_images(source, spec)


def labels_of(places: str | list[str], source: Source) -> NDArray[np.str_] | None:
    """Return a label per image, its photograph or its subfolder; None for images that are not in subfolders."""
    if isinstance(source, CropSource):
        return np.asarray([source.crops.classes[label] for label in source.crops.labels])
    place = places[0] if isinstance(places, list) and len(places) == 1 else places
    root = Path(place).expanduser() if isinstance(place, str) else None
    if not isinstance(source, FileSource) or root is None or not root.is_dir():
        return None
    names = [path.relative_to(root).parts for path in source.paths]
    found = [parts[0] if len(parts) > 1 else "." for parts in names]
    return np.asarray(found) if set(found) != {"."} else None
