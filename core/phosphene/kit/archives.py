"""Archives: dataclasses as ``.npz`` files that are checked against their declaration when they are read.

An archive holds arrays and one JSON text, ``metadata``: the version of the format, the kind of result and every field, where an
array is represented by the name of its entry. Nothing is pickled.

The type of a field declares what is read; see `phosphene.kit.records`.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, InvalidParameter, said
from phosphene.kit.documents import DAMAGE, json_from, open_regular
from phosphene.kit.places import readable_file
from phosphene.kit.records import Arrays, Mismatch, Take, rebuilt, record_of

__all__ = ["archive_bytes", "archive_words", "arrays_of", "corrupt", "read_archive"]

FORMAT = 2
FREE_SIZE, MOST_RATIO = 2**28, 100
"""An archive may unpack to 256 MiB, or to 100 times its own size if that is more."""

MOST_TEXT = 2**24
"""Characters of metadata, so that a damaged file cannot exhaust the memory."""

Kept = TypeVar("Kept")


def archive_bytes(result: Any, kind: str, **extra: NDArray[Any]) -> bytes:
    """Encode a dataclass as the content of an archive.

    Parameters
    ----------
    result : dataclass
    kind : str
        The name under which it is read again.
    **extra : numpy.ndarray
        Further entries for other readers; `read_archive` ignores them.

    Returns
    -------
    bytes

    Raises
    ------
    InvalidParameter
        For a field that is not what the class declares, since it could not be read again.
    """
    arrays: Arrays = {}
    try:
        words = {"format": FORMAT, "kind": kind, **record_of(type(result)).write(result, "", arrays)}
        rebuilt(type(result), words, arrays)
    except Mismatch as error:
        raise InvalidParameter(
            error.where, allowed=error.allowed, received=said(error.received), fix="Correct the field before saving."
        ) from error
    text = json.dumps(words)
    if len(text) > MOST_TEXT:
        raise InvalidParameter(
            "settings",
            allowed=f"text of at most {MOST_TEXT:,} characters in all fields together",
            received=said(f"{len(text):,} characters"),
            fix="Save fewer results in one file.",
        )
    named: dict[str, Any] = {**arrays, **extra, "metadata": np.asarray(text)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    if sum(array.nbytes for array in named.values()) > _largest(buffer.tell()) / 2:
        # Almost constant arrays compress so well that the reader would take the file for a decompression bomb.
        buffer = io.BytesIO()
        np.savez(buffer, **named)
    return buffer.getvalue()


def read_archive(path: str | Path, cls: type[Kept], kind: str) -> Kept:
    """Read a dataclass from an archive.

    Parameters
    ----------
    path : str or Path
    cls : type
        The dataclass to read.
    kind : str
        The kind that the archive must hold.

    Returns
    -------
    dataclass
        With the dtypes, shapes and values that were saved.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When it is no archive, damaged, of another kind or of a later version.
    """
    path = readable_file(path)
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            sizes = _sizes(archive, stream)

            def take(name: str) -> NDArray[Any]:
                return _entry(archive, name, sizes.pop(name))

            words = _metadata(take, sizes)
            found = words.pop("kind", kind if words["format"] == 1 else None)
            if words.pop("format") == 1:
                words = _from_format_1(words, list(sizes))
            if found != kind:
                raise ValueError(f"it holds another kind of result, {found!r:.40}")
            return rebuilt(cls, words, take)
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise corrupt(path, cls, error) from error


def archive_words(path: str | Path) -> dict[str, Any]:
    """The metadata of an archive as plain Python, unchecked, without its arrays.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError and others of `phosphene.kit.documents.DAMAGE`
        When it is no archive of phosphene, damaged or of a later version.
    """
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        sizes = _sizes(archive, stream)
        return _metadata(lambda name: _entry(archive, name, sizes[name]), sizes)


def arrays_of(stream: io.BufferedReader) -> Arrays:
    """All arrays of a ``.npz``, none of which takes more memory than its entry has bytes.

    Raises
    ------
    ValueError and others of `phosphene.kit.documents.DAMAGE`
        When it is no archive, damaged, or holds Python objects.
    """
    with zipfile.ZipFile(stream) as archive:
        return {name: _entry(archive, name, size) for name, size in _sizes(archive, stream).items()}


def _sizes(archive: zipfile.ZipFile, stream: io.BufferedReader) -> dict[str, int]:
    """Sizes of all arrays by name, together not more than a file of this size may unpack to."""
    sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    most = _largest(os.fstat(stream.fileno()).st_size)
    if sum(sizes.values()) > most:
        raise ValueError(f"it would unpack to more than {most:,} bytes")
    return sizes


def corrupt(path: str | Path, cls: type, error: BaseException) -> CorruptFile:
    """The error for a file that could not be read as a `cls`, with the cause."""
    cause = f"{error}"[:300] or type(error).__name__
    if isinstance(error, (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)):
        cause = f"it is not an archive of phosphene, or it is damaged ({cause})"
    return CorruptFile(str(path), f"cannot be read as {cls.__name__}: {cause}")


def _largest(size: int) -> int:
    return max(FREE_SIZE, MOST_RATIO * size)


def _metadata(take: Take, sizes: Mapping[str, int]) -> dict[str, Any]:
    if sizes.get("metadata", 0) > 4 * MOST_TEXT + 4096:
        raise ValueError("its metadata are too long")
    try:
        text = take("metadata")
    except KeyError as error:
        raise ValueError("it was not written by phosphene: it has no metadata") from error
    words = json_from(str(text), finite=False) if text.dtype.kind == "U" and text.ndim == 0 else None
    if not isinstance(words, dict) or type(words.get("format")) is not int or words["format"] < 1:
        raise ValueError("it was not written by phosphene: its metadata do not name a format")
    if words["format"] > FORMAT:
        raise ValueError(
            f"it is in format {words['format']}, and this version reads formats up to {FORMAT}; update phosphene"
        )
    return words


def _from_format_1(words: dict[str, Any], entries: list[str]) -> dict[str, Any]:
    """Fields of format 1, whose metadata did not mention arrays."""
    upgraded = {**words, **{name: name for name in entries if "/" not in name}}
    if "awake_at" in entries:  # renders: an optional array without an entry was None
        upgraded = dict.fromkeys(("snapshots", "opacity", "parameters")) | upgraded
    if "raw" in entries:  # an attribution: entries of mappings were named by their keys
        for group in ("scores", "curves", "sanity"):
            upgraded[group] = {name.removeprefix(f"{group}/"): name for name in entries if name.startswith(f"{group}/")}
    return upgraded


def _entry(archive: zipfile.ZipFile, name: str, size: int) -> NDArray[Any]:
    """Read an array whose header agrees with the size of its entry, so that no header can claim more memory."""
    if archive.getinfo(f"{name}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Other methods take as much memory as a few bytes of the entry say.
        raise ValueError(f"{name}: it is compressed by a method that NumPy does not use")
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{name}: arrays of NumPy's format {version} are not read")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject:
            raise ValueError(f"{name}: it holds Python objects, and nothing is unpickled")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError(f"{name}: its shape {shape} does not agree with its size in the file")
    with archive.open(f"{name}.npy") as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
