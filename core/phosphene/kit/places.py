"""Paths as callers give them: the home folder written out, and what no file system takes refused by name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from phosphene.errors import CorruptFile, InvalidParameter

__all__ = ["given_path", "readable_file"]


def given_path(path: str | os.PathLike[str], parameter: str = "path") -> Path:
    """Return a path that a caller gave, with the home folder in place of a leading ``~``.

    Every path that is given to phosphene goes through this function once, whether it is read or written. A ``~`` before a name
    that is no user's is part of the name, as in a shell.

    Parameters
    ----------
    path : str or os.PathLike
    parameter : str, default "path"
        Name of the argument in messages.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameter
        For another type, an empty text, and characters that no path has.
    """
    try:
        text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    except Exception:  # noqa: BLE001 (of a class that is not ours)
        text = None
    if not isinstance(text, str) or not text:
        raise InvalidParameter(parameter, allowed="a path", received=path, fix='For example "out/result.npz".')
    try:
        if "\0" in text:
            raise ValueError
        os.fsencode(text)
    except ValueError:  # as for halves of surrogate pairs
        raise InvalidParameter(
            parameter,
            allowed="a path without NUL and other characters that no file system keeps",
            received=text,
            fix="Remove them.",
        ) from None
    found = Path(text)
    if not found.parts or not found.parts[0].startswith("~"):
        return found
    try:
        return found.expanduser()
    except RuntimeError:
        if found.parts[0] != "~":
            return found
        raise InvalidParameter(
            parameter,
            allowed="a path",
            received=text,
            fix="The home folder is not known here: write it out.",
        ) from None


def readable_file(path: str | os.PathLike[str], parameter: str = "path") -> Path:
    """Return the path of a file that is there to be read; see `given_path`.

    Parameters
    ----------
    path : str or os.PathLike
    parameter : str, default "path"
        Name of the argument in messages.

    Returns
    -------
    Path

    Raises
    ------
    InvalidParameter
        For what is no path.
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When it is a folder, a pipe or a device, or cannot be looked at.
    """
    target = given_path(path, parameter)
    try:
        there = target.is_file()
        folder = not there and target.is_dir()
        exists = there or target.exists()
    except OSError as error:
        raise CorruptFile(str(target), f"cannot be read ({error.strerror or error})") from error
    if there:
        return target
    if folder:
        raise CorruptFile(str(target), "a folder, not a file. Give the path of a file in it.")
    if exists:
        raise CorruptFile(str(target), "a pipe or a device, not a file, and never read. Give the path of a file.")
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
