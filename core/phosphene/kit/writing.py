"""Write files whole or not at all, to paths that are checked before the work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from phosphene.errors import UnwritablePath
from phosphene.kit.places import given_path

__all__ = ["check_writable", "write_whole"]


def check_writable(path: str | Path, parameter: str = "path") -> Path:
    """Check that a file can be written to `path`, creating its folder, before any work is done.

    Parameters
    ----------
    path : str or Path
    parameter : str, default "path"
        Name of the argument in messages.

    Returns
    -------
    Path
        Where to write: the home folder in place of ``~``.

    Raises
    ------
    InvalidParameter
        For what is no path; see `phosphene.kit.places.given_path`.
    UnwritablePath
        When it cannot be written; nothing is left behind.
    """
    target = given_path(path, parameter)
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a folder, where a file is expected")
        if target.exists() and not target.is_file():
            raise OSError(f"{target} is a pipe or a device")
        # Named like a part of the target where it cannot be nameless, so that no other process takes it for a foreign file.
        with tempfile.TemporaryFile(dir=folder, prefix=f".{target.name[:60]}."):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnwritablePath(str(target), f"{reason}. Choose another path.") from error
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, so that a reader sees either all of it or the file as it was.

    Raises
    ------
    UnwritablePath
        When writing fails; the file is then as it was.
    """
    path = check_writable(path)
    # Not the whole name of the file: with more behind it, it could be too long.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise UnwritablePath(str(path), error.strerror or str(error)) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
