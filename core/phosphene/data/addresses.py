"""Images at addresses of fsspec: ``s3://bucket/folder``, ``zip://*.png::photos.zip``, ``memory://photos``, ``https://...``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from phosphene.data.file_places import ContentSource, RemotePlace, hidden_secrets
from phosphene.data.films import is_film, source_of_film
from phosphene.data.formats import ENDINGS, hidden, regular
from phosphene.data.items import Conversion
from phosphene.data.shards import expanded, is_shard, source_of_shards
from phosphene.data.source import Source
from phosphene.errors import InvalidParameter, MissingDependency, PhospheneError, said

__all__ = ["RemoteSource", "is_address", "local_path", "places_at", "source_at_address"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|.*::")
_REFUSED = frozenset(("reference", "generic", "jupyter", "jlab", "dask"))
"""File systems that are not opened: what these read are descriptions of other files, or programs."""


@dataclass(frozen=True)
class RemoteSource(Source):
    """Picture files at an address."""

    places: tuple[RemotePlace, ...]
    conversion: Conversion

    def __len__(self) -> int:
        return len(self.places)

    @property
    def of_files(self) -> bool:
        return all(place.dated for place in self.places)

    def image(self, index: int) -> NDArray[Any]:
        return self.conversion.image(self.places[index].content(), self.name(index))

    def name(self, index: int) -> str:
        return self.places[index].name

    def identity(self) -> str:
        digest = hashlib.blake2b("\n".join(place.stamp() for place in self.places).encode(), digest_size=16)
        rule = self.conversion
        return f"{len(self.places)} files at an address {rule.size} {rule.channels} {rule.fit} {digest.hexdigest()}"

    def part(self, index: int) -> tuple[Source, int]:
        place = self.places[index]
        if place.everywhere:
            return RemoteSource((place,), self.conversion), 0
        return ContentSource(place.content(), place.name, self.conversion), 0


def is_address(place: object) -> bool:
    """Whether a text is an address of fsspec rather than a path."""
    return isinstance(place, str) and _ADDRESS.match(place) is not None and "\n" not in place


def local_path(address: str) -> str | None:
    """The path of an address ``file://...`` or ``local://...``, or None for another one."""
    protocol, found, rest = address.partition("://")
    return rest if found and protocol in ("file", "local") and "::" not in address else None


def source_at_address(address: str, conversion: Conversion, count: int | None = None) -> Source:
    """Open the images at an address.

    Parameters
    ----------
    address : str
        Of a folder (searched recursively), a pattern, or a file: a picture, a tar shard or a film.
    conversion : Conversion
    count : int, optional
        Frames of a film that are wanted (default: all).

    Returns
    -------
    Source

    Raises
    ------
    MissingDependency
        Without fsspec, or the package that it needs for this kind of address.
    InvalidParameter
        For an unknown kind of address, or one at which no images are.
    CorruptFile
        For an archive or a film that cannot be read.
    """
    places = [place for each in expanded(address) for place in places_at(each)]
    return _source_of(places, conversion, count, address)


def places_at(address: str) -> list[RemotePlace]:
    """The file, or the picture files and shards, at an address."""
    fs, path, everywhere = _system(address)
    try:
        return _found(fs, path, everywhere, address)
    except PhospheneError:
        raise
    except FileNotFoundError:
        raise _nothing(address) from None
    except ImportError as error:
        raise _missing(error, address) from error
    except Exception as error:  # file systems share no exception
        raise InvalidParameter(
            "images",
            allowed="an address that can be read",
            received=hidden_secrets(address),
            fix=f"Reading it failed: {hidden_secrets(str(error)) or type(error).__name__}.",
        ) from error


def _source_of(places: Sequence[RemotePlace], conversion: Conversion, count: int | None, address: str) -> Source:
    shards = [place for place in places if is_shard(_plain(place.path))]
    if shards:
        if len(shards) < len(places):
            raise InvalidParameter(
                "images",
                allowed="shards, or picture files",
                received=said(f"{len(shards)} shards and {len(places) - len(shards)} other files"),
                fix="Give a pattern that ends in .tar.",
            )
        return source_of_shards(shards, conversion)
    if len(places) == 1 and is_film(_plain(places[0].path)):
        return source_of_film(places[0], conversion, count)
    if not places:
        raise _nothing(address)
    return RemoteSource(tuple(places), conversion)


def _found(fs: Any, path: str, everywhere: bool, address: str) -> list[RemotePlace]:
    web = any(kind in ("http", "https") for kind in _protocols(fs))
    if "*" in path or (not web and re.search(r"[?\[]", path)):
        listing = fs.glob(path, detail=True)
    else:
        info = {"type": "directory"} if not path.strip("/") else fs.info(path)
        if info["type"] != "directory":
            return [_place(fs, path, info, everywhere)]
        listing = fs.find(path, detail=True)
    base = path.partition("*")[0]
    files = {name: info for name, info in listing.items() if info.get("type") == "file" and _wanted(name, base)}
    if not files:
        raise _nothing(address)
    return [_place(fs, name, files[name], everywhere) for name in sorted(files)]


def _wanted(name: str, base: str) -> bool:
    inner = name.removeprefix(base.strip("/")) if base else name
    ending = "." + _plain(name).rpartition(".")[2].lower()
    return (ending in ENDINGS or ending == ".tar") and not any(hidden(part) for part in inner.split("/"))


def _place(fs: Any, path: str, info: dict[str, Any], everywhere: bool) -> RemotePlace:
    versions = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created", "CRC", "md5Hash", "sha256")
    version = next((str(info[key]) for key in versions if info.get(key) is not None), "")
    size = info.get("size")
    return RemotePlace(fs, path, size if isinstance(size, int) and size >= 0 else None, version, everywhere)


def _system(address: str) -> tuple[Any, str, bool]:
    try:
        import fsspec
    except ImportError as error:
        raise MissingDependency("fsspec", "data") from error
    kinds = [part.partition("://")[0] for part in address.split("::") if "://" in part or part.isalpha()]
    if _REFUSED & set(kinds):
        raise InvalidParameter(
            "images",
            allowed="an address of files",
            received=hidden_secrets(address),
            fix="Such addresses are never opened: what they name describes other files, or is run.",
        )
    last = address.split("::")[-1]
    if "::" in address and ("://" not in last or local_path(last) is not None):
        try:
            regular(Path(local_path(last) or last).expanduser()).close()  # never a FIFO or a device
        except FileNotFoundError:
            raise _nothing(address) from None
    try:
        # A file system that was kept from before would not see that the archive has changed since.
        fs, path = fsspec.core.url_to_fs(address, skip_instance_cache=True)
    except ImportError as error:
        raise _missing(error, address) from error
    except PhospheneError:
        raise
    except FileNotFoundError:
        raise _nothing(address) from None
    except Exception as error:  # archives and file systems share no exception
        raise InvalidParameter(
            "images",
            allowed="an address that fsspec opens, such as s3://bucket/folder or zip://*.png::photos.zip",
            received=hidden_secrets(address),
            fix=f"Opening it failed: {hidden_secrets(str(error)) or type(error).__name__}.",
        ) from error
    return fs, path, "memory" not in kinds


def _missing(error: ImportError, address: str) -> MissingDependency:
    """The error for a package that fsspec needs for one kind of address, and that the extra does not bring."""
    web = address.split("::")[-1].startswith("http")
    named = re.search(r"[Ii]nstall (?:the )?([A-Za-z0-9_\-]+)", str(error))
    needed = "aiohttp" if web else named[1] if named else error.name or "its package"
    found = MissingDependency(needed, "data")
    found.args = (
        f"{needed} is not installed, which fsspec needs for {hidden_secrets(address)}. Install it with: pip install {needed}. "
        "The extra phosphene[data] brings fsspec itself.",
    )
    return found


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _plain(path: str) -> str:
    """A path without the query that addresses of the web may have."""
    return path.partition("?")[0]


def _nothing(address: str) -> InvalidParameter:
    return InvalidParameter(
        "images",
        allowed="an address at which images are: of a picture, a folder, a pattern or shards",
        received=hidden_secrets(address),
        fix="No images are there: check its spelling, and that the pattern matches files that end in .jpg, .png or the like.",
    )
