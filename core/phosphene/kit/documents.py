"""Files that are read with care: regular files of bounded size, and JSON without what its grammar forbids or hides.

Python's own reader of JSON accepts NaN and infinity, keys that stand twice, numbers of a million digits and any depth. Here
each of these is refused, since no writer of phosphene makes them and no reader expects them.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from phosphene.errors import CorruptFile, OtherStore
from phosphene.kit.records import record_of

__all__ = ["DAMAGE", "json_from", "open_regular", "read_document", "read_json", "read_regular"]

MOST_BYTES = 1 << 24
"""Largest document, unless its reader says otherwise."""

DEEPEST = 64
"""Lists and objects within each other."""

LONGEST_NUMBER = 1000
"""Characters of a number; the longest float has 25, and the time of an integer grows with the square of its digits."""

DAMAGE = (
    *(
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        SyntaxError,
    ),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)
"""What reading a damaged file may raise, all readers together."""

Document = TypeVar("Document")


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file for reading, without waiting for one that is a pipe or a device.

    Raises
    ------
    OSError
        When there is no such file, it cannot be opened, or it is a folder, a pipe, a socket or a device.
    """
    stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  (handed to the caller)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("it is not a regular file")
    return stream


def read_regular(path: str | Path, most_bytes: int) -> bytes:
    """Read a regular file.

    Raises
    ------
    ValueError
        When it has more than `most_bytes`; no more of it is read.
    OSError
        As by `open_regular`.
    """
    with open_regular(path) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes:,} bytes")
    return content


def json_from(text: str | bytes, *, finite: bool = True) -> Any:
    """Plain Python from JSON.

    Parameters
    ----------
    text : str or bytes
        Bytes are UTF-8.
    finite : bool, default True
        Whether NaN and infinity are refused. They are not JSON, but archives have them in fields that are numbers.

    Raises
    ------
    ValueError
        For anything that is not JSON, a key that stands twice in one object, numbers that are not finite or have more than
        1000 characters, halves of characters, and more than 64 lists and objects within each other.
    """
    words = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        found = json.loads(
            words,
            object_pairs_hook=_distinct,
            parse_int=_integer,
            parse_float=_float if finite else float,
            parse_constant=_refuse_constant if finite else float,
        )
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} lists and objects") from error
    if words.count("[") + words.count("{") > DEEPEST:
        _check_depth(found)
    if "\\u" in words:
        json.dumps(found, ensure_ascii=False).encode()  # UnicodeEncodeError, a ValueError, for half a character
    return found


def read_json(path: str | Path, *, most_bytes: int = MOST_BYTES, finite: bool = True, fix: str = "") -> Any:
    """Read plain Python from a JSON file; see `json_from`.

    Parameters
    ----------
    path : str or Path
    most_bytes : int
        Larger files are refused before they are read.
    finite : bool, default True
        See `json_from`.
    fix : str, optional
        What to do about a damaged file, as a sentence.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When it is no regular file, too large, or not JSON.
    """
    try:
        return json_from(read_regular(path, most_bytes), finite=finite)
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise CorruptFile(str(path), _cause(error, "JSON", fix)) from error


def read_document(
    path: str | Path,
    cls: type[Document],
    *,
    newest: int | None = None,
    most_bytes: int = MOST_BYTES,
    finite: bool = True,
    what: str = "what it should be",
    fix: str = "",
    error: type[CorruptFile] = CorruptFile,
) -> Document:
    """Read a dataclass from a JSON file, each field checked against its declaration.

    Parameters
    ----------
    path : str or Path
    cls : type
        The dataclass; see `phosphene.kit.records` for what it declares.
    newest : int, optional
        The latest format that is read: the file then says under the key "format" which one it is in.
    most_bytes : int
        Larger files are refused before they are read.
    finite : bool, default True
        See `json_from`.
    what : str, optional
        What the file should be, for the message.
    fix : str, optional
        What to do about a damaged file, as a sentence.
    error : type, default CorruptFile
        The class of error for a damaged file.

    Returns
    -------
    dataclass

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When the file is no regular file, too large, not JSON, or holds something else.
    OtherStore
        When it is in a later format.
    """
    try:
        found = json_from(read_regular(path, most_bytes), finite=finite)
        if newest is not None:
            _check_format(path, found.pop("format"), newest)
        made: Document = record_of(cls).read(found, "", _no_array, {})
    except (FileNotFoundError, OtherStore):
        raise
    except DAMAGE as damage:
        raise error(str(path), _cause(damage, what, fix)) from damage
    return made


def _no_array(name: str) -> NDArray[Any]:
    raise KeyError(name)


def _check_format(path: str | Path, version: Any, newest: int) -> None:
    if type(version) is not int or version < 1:
        raise ValueError(f"its format is {version!r:.40}")
    if version > newest:
        raise OtherStore(
            f"{path}: written in format {version}, but this version of phosphene reads formats up to {newest}. "
            "Install a later version."
        )


def _cause(error: BaseException, what: str, fix: str) -> str:
    cause = getattr(error, "strerror", None) or f"{error}"[:300] or type(error).__name__
    return f"damaged, or not {what} ({cause})" + (f". {fix}" if fix else "")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe without a writer would wait for one


def _distinct(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r:.80} stands twice")
    return made


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= LONGEST_NUMBER else math.inf
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large or too long")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _check_depth(found: Any) -> None:
    """Raise ValueError for a value that would exhaust the stack of whoever walks through it."""
    layer = [found]
    for _ in range(DEEPEST + 1):
        layer = [
            item
            for node in layer
            if isinstance(node, (dict, list))
            for item in (node.values() if isinstance(node, dict) else node)
        ]
    if layer:
        raise ValueError(f"it is nested deeper than {DEEPEST} lists and objects")
