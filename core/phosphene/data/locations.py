"""Image sources named by a path: image files, and crops of the photographs that come with other packages."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from phosphene.data.addresses import is_address, local_path, source_at_address
from phosphene.data.crops import Crops, parse
from phosphene.data.file_places import LocalPlace
from phosphene.data.films import is_film, source_of_film
from phosphene.data.fitting import Fit
from phosphene.data.formats import image_files, is_image, is_image_file, shown
from phosphene.data.items import Conversion
from phosphene.data.shards import expanded, is_shard, source_of_shards
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.types import Size

__all__ = ["CropSource", "FileSource", "source_at"]

SMALLEST = 16
"""Smallest side of a crop in pixels; networks with a smaller input get the centre of it."""

SKIP = "Calls with on_error='skip' leave it out and count it."

GLOB = re.compile(r"[*?\[]")
"""What makes a path a pattern."""


@dataclass(frozen=True)
class FileSource(Source):
    """Image files, each fitted to the size of the conversion."""

    paths: tuple[Path, ...]
    conversion: Conversion

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def of_files(self) -> bool:
        return True

    def image(self, index: int) -> NDArray[Any]:
        name = self.name(index)
        try:
            return self.conversion.image(self.paths[index])
        except (CorruptFile, FileNotFoundError) as error:
            detail = str(error).removeprefix(f"{name}: ").rstrip(".")
            raise CorruptFile(name, f"{detail}. {SKIP}") from error

    def identity(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            state = os.stat(path)
            digest.update(f"{path.name}|{state.st_size}|{state.st_mtime_ns}\n".encode(errors="surrogateescape"))
        rule = self.conversion.fit
        stated = "" if rule == Fit() else f" {rule}"
        return f"{len(self.paths)} files {self.conversion.size} {self.conversion.channels}{stated} {digest.hexdigest()}"

    def name(self, index: int) -> str:
        return shown(str(self.paths[index]))

    def part(self, index: int) -> tuple[Source, int]:
        return FileSource((self.paths[index],), self.conversion), 0


@dataclass(frozen=True)
class CropSource(Source):
    """Crops of the photographs; cut to the centre for a network with non-square input, and averaged to grey for one channel."""

    crops: Crops
    size: Size
    channels: int

    def __len__(self) -> int:
        return len(self.crops)

    def image(self, index: int) -> NDArray[Any]:
        whole = self.crops[index][0]
        top, left = ((side - wanted) // 2 for side, wanted in zip(whole.shape, self.size, strict=False))
        cut = whole[top : top + self.size[0], left : left + self.size[1]]
        return cut.mean(axis=-1, keepdims=True) if self.channels == 1 else cut

    def identity(self) -> str:
        return f"{self.crops!r} {self.size} {self.channels}"


def source_at(place: str | Path, conversion: Conversion, count: int | None = None) -> Source:
    """Open the image source at a path or an address.

    Parameters
    ----------
    place : str or Path
        A folder (searched recursively), an image file, a glob pattern, a text file with one path per line, or
        ``photos:N[:SEED]``; shards, a zip archive, a film, or an address of fsspec.
    conversion : Conversion
        How files are fitted to the network's input.
    count : int, optional
        Frames of a film that are wanted (default: all).

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        When nothing exists at the path, or it holds no images.
    CorruptFile
        When the file is neither an image nor text.
    """
    if isinstance(place, str) and place.partition(":")[0] in ("photos", "photos-shortcut"):
        size = conversion.size
        return CropSource(parse(place, size=max(*size, SMALLEST)), size, conversion.channels)
    if not str(place) or "\0" in str(place):
        raise InvalidParameter("images", allowed="a path", received=str(place), fix="Give the path of a folder.")
    if isinstance(place, str) and is_address(place):
        local = local_path(place)
        return source_at_address(place, conversion, count) if local is None else source_at(local, conversion, count)
    path = Path(place).expanduser()
    try:
        exists, folder = path.exists(), path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise _nothing(place, f"It cannot be a path: {error.strerror or error}.") from error
    if not exists and "{" in str(path):
        return _of_names(expanded(str(path)), conversion, str(place))
    if folder:
        found = list(image_files(path))
        what = "a folder with images"
        shards = [] if found else sorted(file for file in path.iterdir() if file.name.endswith(".tar"))
        if shards:
            return source_of_shards([LocalPlace(file) for file in shards], conversion)
    elif exists:
        if is_shard(path.name):
            return source_of_shards([LocalPlace(path)], conversion)
        if is_film(path.name):
            return source_of_film(LocalPlace(path), conversion, count)
        if path.suffix.lower() == ".zip":
            return source_at_address(f"zip://::{path.absolute()}", conversion)
        found, what = _of_file(path), "a text file with one path per line"
    elif GLOB.search(str(place)):
        matched = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        shards = [file for file in matched if is_shard(file.name)]
        if shards and len(shards) == len(matched):
            return source_of_shards([LocalPlace(file) for file in shards], conversion)
        found = [file for file in matched if is_image_file(file)]
        what = "a pattern that matches image files"
    else:
        raise _nothing(place, "Nothing exists at that path: check its spelling and the working directory.")
    if not found:
        raise InvalidParameter("images", allowed=what, received=str(path), fix="It holds no images: check the path.")
    return FileSource(tuple(found), conversion)


def _nothing(place: str | Path, fix: str) -> InvalidParameter:
    return InvalidParameter(
        "images",
        allowed="a folder, an image file, a glob pattern, a text file of paths, an address, shards, a film, or photos:N",
        received=str(place),
        fix=fix,
    )


def _of_names(names: list[str], conversion: Conversion, pattern: str) -> Source:
    """The shards or image files that a pattern with braces stands for."""
    paths = [Path(name) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise _nothing(pattern, f"{missing[0]} does not exist: check the pattern.")
    if all(is_shard(path.name) for path in paths):
        return source_of_shards([LocalPlace(path) for path in paths], conversion)
    return FileSource(tuple(paths), conversion)


def _of_file(path: Path) -> list[Path]:
    """The file itself if it is an image, or the files that it lists."""
    if is_image_file(path) or not path.is_file() or is_image(path):
        return [path]  # what is no regular file is refused when it is opened
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptFile(str(path), "neither an image nor a text file of paths in UTF-8") from error
    lines = [line.strip() for line in text.splitlines()]
    found = [path.parent / Path(line).expanduser() for line in lines if line and not line.startswith("#")]
    for file in found:
        if "\0" in str(file) or not file.is_file():
            raise InvalidParameter(
                "images",
                allowed="an image, or a text file with one path per line",
                received=str(path),
                fix=f"It lists {file}, which is not a file.",
            )
    return found
