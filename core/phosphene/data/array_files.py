"""Arrays of NumPy on disk: ``.npy``, which is mapped into memory, and one array of an ``.npz``. Nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from phosphene.data.file_places import LocalPlace, Place
from phosphene.data.items import COLUMNS
from phosphene.errors import CorruptFile, InvalidParameter, PhospheneError, said
from phosphene.kit.checks import listed
from phosphene.kit.documents import DAMAGE

__all__ = ["array_at", "is_array_file"]


def is_array_file(name: str) -> bool:
    """Whether a file holds arrays of NumPy, by its name."""
    return name.lower().endswith((".npy", ".npz"))


def array_at(place: Place, column: str | None = None) -> NDArray[Any]:
    """Read an array from a file.

    Parameters
    ----------
    place : Place
        An ``.npy`` or ``.npz`` file. A local ``.npy`` is mapped into memory: rows are read when they are needed.
    column : str, optional
        Name of the array in an ``.npz`` (default: the only one that can be images).

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    CorruptFile
        For a file that is damaged, or holds Python objects.
    InvalidParameter
        For an ``.npz`` in which no array, or several, can be images.
    """
    try:
        with place.open() as stream:  # what is no regular file is refused here
            if stream.read(4) == b"PK\x03\x04":
                return _of_archive(stream, column, place.name)
            stream.seek(0)
            if isinstance(place, LocalPlace):
                return cast("NDArray[Any]", np.load(place.path, mmap_mode="r", allow_pickle=False))
            return cast("NDArray[Any]", np.load(stream, allow_pickle=False))
    except PhospheneError:
        raise
    except (*DAMAGE, MemoryError) as error:
        objects = any(words in str(error) for words in ("allow_pickle", "Python objects"))
        cause = "it holds Python objects, which are never loaded" if objects else error
        raise CorruptFile(place.name, f"cannot be read as an array of NumPy ({cause})") from error


def _of_archive(stream: Any, column: str | None, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(stream) as archive:
        shapes = {info.filename.removesuffix(".npy"): _shape(archive, info) for info in archive.infolist()}
        key = _chosen(shapes, column, name)
        with archive.open(f"{key}.npy") as entry:
            array: NDArray[Any] = np.lib.format.read_array(entry, allow_pickle=False)
            return array


def _shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    """The shape of an entry; empty for what holds no numbers, or claims another size than it has."""
    with archive.open(info) as entry:
        version = np.lib.format.read_magic(entry)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(entry)
        if dtype.hasobject or dtype.kind not in "biuf":
            return ()
        if math.prod(shape) * dtype.itemsize != info.file_size - entry.tell():
            raise ValueError(f"{info.filename}: its size is not that of its shape")
    return tuple(shape)


def _chosen(shapes: dict[str, tuple[int, ...]], column: str | None, name: str) -> str:
    if column is not None:
        if column in shapes:
            return column
        raise InvalidParameter(
            "column", allowed=listed(list(shapes)[:20]), received=column, fix=f"Name an array of {name}."
        )
    held = [key for key, shape in shapes.items() if len(shape) in (3, 4)]
    named = [key for wanted in COLUMNS for key in held if key.lower() == wanted]
    for found in (named[:1], held):
        if len(found) == 1:
            return found[0]
    if not held:
        raise InvalidParameter(
            "images",
            allowed="an archive with an array (N, H, W, C)",
            received=said(f"{name}, whose arrays have the shapes {listed([str(s) for s in shapes.values()][:20])}"),
            fix="Save the images as one array: numpy.save.",
        )
    raise InvalidParameter(
        "column",
        allowed=listed(held[:20]),
        received=None,
        fix=f"Several arrays of {name} can be images: ph.images(path, column={held[0]!r}).",
    )
