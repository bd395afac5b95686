"""Write files whole or not at all, to paths that are checked before the work begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from phosphene.errors import UnwritablePath

__all__ = ["check_writable", "write_whole"]


def check_writable(path: str | Path) -> Path:
    """Check that a file can be written to `path`, creating its folder, before any work is done.

    Raises
    ------
    UnwritablePath
        When it cannot be written; nothing is left behind.
    """
    target = Path(path)
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a folder")
        with tempfile.TemporaryFile(dir=folder):
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
    check_writable(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
