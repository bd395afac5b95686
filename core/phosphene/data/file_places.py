"""Places of bytes: a local file, or a file in a file system of fsspec; what archives, films and addresses are read from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from numpy.typing import NDArray

from phosphene.data.formats import regular, shown
from phosphene.data.items import Conversion
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, PhospheneError

__all__ = ["LARGEST_FILE", "ContentSource", "LocalPlace", "Place", "RemotePlace", "hidden_secrets"]

LARGEST_FILE = 1 << 30
"""Largest picture file in bytes that is read from an archive or an address: the whole of it is held in memory."""

_SECRETS = (re.compile(r"(?<=://)[^/@\s]+@"), re.compile(r"\?[^:\s]*"))


class Place(Protocol):
    """Bytes that can be read from any position."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def everywhere(self) -> bool:
        """Whether another process finds the same bytes there."""

    @property
    def dated(self) -> bool:
        """Whether `stamp` tells of every change."""

    def open(self) -> IO[bytes]:
        """Open it for reading."""

    def part(self, start: int, length: int) -> bytes:
        """Read some of its bytes."""

    def stamp(self) -> str:
        """A text that changes with the file, as far as the place tells: its name, its size, and its time or version."""


@dataclass(frozen=True)
class LocalPlace:
    """A file of this machine."""

    path: Path

    @property
    def name(self) -> str:
        return shown(str(self.path))

    @property
    def everywhere(self) -> bool:
        return True

    @property
    def dated(self) -> bool:
        return True

    def open(self) -> IO[bytes]:
        return regular(self.path)

    def part(self, start: int, length: int) -> bytes:
        with regular(self.path) as stream:
            stream.seek(start)
            return stream.read(length)

    def stamp(self) -> str:
        state = os.stat(self.path)
        return f"{self.path.name}|{state.st_size}|{state.st_mtime_ns}"


@dataclass(frozen=True)
class RemotePlace:
    """A file in a file system of fsspec.

    Attributes
    ----------
    system : fsspec.AbstractFileSystem
    path : str
        As the file system writes it.
    size : int, optional
        In bytes, where the file system tells.
    version : str
        Its time, ETag or checksum, where the file system tells.
    """

    system: Any
    path: str
    size: int | None = None
    version: str = ""
    everywhere: bool = True

    @property
    def name(self) -> str:
        return shown(hidden_secrets(str(self.system.unstrip_protocol(self.path))))

    @property
    def dated(self) -> bool:
        return bool(self.version)

    def open(self) -> IO[bytes]:
        return cast(IO[bytes], self._called("cannot be opened", self.system.open, self.path, "rb"))

    def part(self, start: int, length: int) -> bytes:
        found = self._called("cannot be read", self.system.cat_file, self.path, start=start, end=start + length)
        return bytes(found)

    def content(self) -> bytes:
        """All of its bytes; see `LARGEST_FILE`."""
        if self.size is None:
            with self.open() as stream:
                found: bytes = self._called("cannot be read", stream.read, LARGEST_FILE + 1)
        elif self.size > LARGEST_FILE:
            found = b""
        else:
            found = self.part(0, self.size)
        if len(found) > LARGEST_FILE or (self.size or 0) > LARGEST_FILE:
            raise CorruptFile(self.name, f"too large to be a picture: at most {LARGEST_FILE:,} bytes are read")
        return found

    def stamp(self) -> str:
        return f"{self.path.rpartition('/')[2]}|{self.size}|{self.version}"

    def _called(self, what: str, call: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except PhospheneError:
            raise
        except Exception as error:  # file systems share no exception
            cause = hidden_secrets(str(error)) or type(error).__name__
            raise CorruptFile(self.name, f"{what} ({cause})") from error


@dataclass(frozen=True)
class ContentSource(Source):
    """One picture file that was read, for another process."""

    content: bytes
    label: str
    conversion: Conversion

    def __len__(self) -> int:
        return 1

    def image(self, index: int) -> NDArray[Any]:
        return self.conversion.image(self.content, self.label)

    def name(self, index: int) -> str:
        return self.label

    def identity(self) -> str:
        return f"content of {self.label}"


def hidden_secrets(address: str) -> str:
    """An address without the password and the signature that it may bear."""
    for pattern in _SECRETS:
        address = pattern.sub("", address)
    return address
