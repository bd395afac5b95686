"""Images from wherever they are, one by one and by number: an array, a folder, a list of paths, a sequence, an iterable."""

from __future__ import annotations

import abc
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.crops import Crops, parse
from phosphene.errors import CorruptFile, InvalidParameter, refuse_foreign, said
from phosphene.types import Size

__all__ = ["ENDINGS", "Source", "source_of"]

ENDINGS = frozenset(".bmp .gif .jpeg .jpg .png .ppm .tif .tiff .webp".split())
"""Endings of the files that are taken from a folder."""

AHEAD = 128
"""Images that an executor reads before they are asked for, at most: it bounds the memory, however fast it reads."""

SKIP = "With on_error='skip' it is left out, and counted."


class Source(abc.ABC):
    """Images by number."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def image(self, index: int) -> NDArray[Any]:
        """Image `index`: floats in [0, 1] or bytes, ``(H, W, C)``; `CorruptFile` when it cannot be read."""

    @abc.abstractmethod
    def identity(self) -> str:
        """A text that is equal for equal images, as far as that can be told without reading them all."""

    def name(self, index: int) -> str:
        """What to call it in a message."""
        return f"image {index}"

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        """Images from `start` on, in order; what cannot be read is its error."""
        parts = (self.part(index) for index in range(start, len(self)))
        return (_read(*part) for part in parts) if executor is None else _ahead(executor, parts)

    def part(self, index: int) -> tuple[Source, int]:
        """A source that has at least image `index`, and its number there: all that another process has to be sent."""
        return self, index


def _read(source: Source, index: int) -> NDArray[Any] | CorruptFile:
    """`Source.image`, with damage as a value: an exception would end all that is read after it."""
    try:
        return source.image(index)
    except CorruptFile as error:
        return error


def _ahead(executor: Executor, parts: Iterable[tuple[Source, int]]) -> Iterator[NDArray[Any] | CorruptFile]:
    """All parts in order, read by the executor; never more than `AHEAD` that nobody has asked for yet."""
    waiting: deque[Future[NDArray[Any] | CorruptFile]] = deque()
    try:
        for part in parts:
            waiting.append(executor.submit(_read, *part))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@dataclass(frozen=True)
class ArraySource(Source):
    array: NDArray[Any]

    def __len__(self) -> int:
        return len(self.array)

    def image(self, index: int) -> NDArray[Any]:
        found: NDArray[Any] = self.array[index]
        return found

    def part(self, index: int) -> tuple[Source, int]:
        return ArraySource(self.array[index : index + 1]), 0

    def identity(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for image in self.array:
            digest.update(np.ascontiguousarray(image).data)
        return f"array {self.array.shape} {self.array.dtype} {digest.hexdigest()}"


@dataclass(frozen=True)
class FileSource(Source):
    """Picture files, each brought to `size`: its central part of these proportions, resized."""

    paths: tuple[Path, ...]
    size: Size
    channels: int

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> NDArray[Any]:
        from PIL import Image, ImageOps

        path = self.paths[index]
        try:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened).convert("L" if self.channels == 1 else "RGB")
                picture = ImageOps.fit(picture, (self.size[1], self.size[0]), Image.Resampling.LANCZOS)
        except Image.DecompressionBombError as error:
            raise CorruptFile(
                str(path),
                f"too large to be opened: it may be a decompression bomb ({error}). {SKIP} If you trust it, make it smaller first, "
                "or raise PIL.Image.MAX_IMAGE_PIXELS.",
            ) from error
        except Exception as error:
            # Decoders have no one exception for damage: OSError, SyntaxError, struct.error, zlib.error, EOFError and others.
            raise CorruptFile(str(path), f"no picture that can be read ({error}). {SKIP}") from error
        pixels = np.asarray(picture)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def identity(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            state = os.stat(path)
            digest.update(f"{path.name}|{state.st_size}|{state.st_mtime_ns}\n".encode())
        return f"{len(self.paths)} files {self.size} {self.channels} {digest.hexdigest()}"

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def part(self, index: int) -> tuple[Source, int]:
        return FileSource((self.paths[index],), self.size, self.channels), 0


@dataclass(frozen=True)
class SequenceSource(Source):
    """Anything with a length and numbers: images, or pairs of an image and something else (a label)."""

    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> NDArray[Any]:
        return _first(self.items[index])

    def identity(self) -> str:
        if isinstance(self.items, Crops):
            return repr(self.items)
        return f"{type(self.items).__qualname__} of {len(self.items)}"


@dataclass(frozen=True)
class IterableSource(Source):
    """What can only be gone through, once; `count` of it."""

    items: Iterable[Any]
    count: int
    position: list[int] = field(default_factory=lambda: [0])

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> NDArray[Any]:
        raise TypeError("an iterable has no numbers")

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        # What can only be gone through once goes on where it was left: some of its images are gone by.
        once = iter(self.items) is self.items
        begin = self.position[0] if once else 0
        if start < begin:
            raise InvalidParameter(
                "images", allowed="images that can be gone through again", received=said(f"an iterator that is past image {start}"),
                fix="Hand over a new iterator, or a list.",
            )  # fmt: skip
        for place, item in enumerate(itertools.islice(self.items, self.count - begin), begin):
            if once:
                self.position[0] = place + 1
            if place >= start:
                yield _first(item)

    def identity(self) -> str:
        return f"{type(self.items).__qualname__} of {self.count}"


def source_of(images: Any, size: Size, channels: int, *, count: int | None = None) -> Source:
    """A source of whatever a person hands over.

    Parameters
    ----------
    images : array (N, H, W, C) or (H, W, C), path, str, sequence or iterable
        A path is a folder of pictures, searched to the bottom in the order of names, a text file of paths, one a line (those
        that are not absolute are seen from its folder), or one picture; ``"photos:N[:SEED]"`` are crops of the photographs.
        Items of a sequence or an iterable are images, or pairs that begin with one.
    size, channels : (int, int), int
        What the network takes; to which files are brought.
    count : int, optional
        How many of an iterable that has no length.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        For a place where there is nothing, or an iterable of unknown length.
    """
    if isinstance(images, Source):
        return images
    refuse_foreign(images)
    if isinstance(images, (str, Path)):
        return _at(images, size, channels)
    if isinstance(images, np.ndarray):
        return ArraySource(images[None] if images.ndim == 3 else images)
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        items = [_path(item) for item in images] if len(images) and isinstance(images[0], (str, Path)) else images
        if items is not images:
            return FileSource(tuple(items), size, channels)
        return SequenceSource(images)
    if hasattr(images, "__iter__"):
        length = len(images) if hasattr(images, "__len__") else count
        if length is None:
            raise InvalidParameter(
                "count", allowed="the number of images", received=None,
                fix="An iterable does not say how many it has: write count=1000, or hand over a list.",
            )  # fmt: skip
        return IterableSource(images, length)
    raise InvalidParameter(
        "images", allowed="an array, a folder, a text file of paths, a sequence or an iterable", received=images, fix=""
    )


def _at(place: str | Path, size: Size, channels: int) -> Source:
    if isinstance(place, str) and place.partition(":")[0] in ("photos", "photos-shortcut"):
        crops: Any = parse(place, size=min(size))
        return SequenceSource(crops)
    path = Path(place).expanduser()
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
        what = f"a folder with pictures ({', '.join(sorted(ENDINGS))})"
    elif path.is_file() and path.suffix.lower() in ENDINGS:
        found, what = [path], ""
    elif path.is_file():
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except UnicodeDecodeError as error:
            raise CorruptFile(str(path), "neither a picture nor a text file of paths") from error
        found = [path.parent / line for line in lines if line and not line.startswith("#")]
        what = "a text file with a path on each line"
        for file in found:
            if not file.is_file():
                raise InvalidParameter(
                    "images", allowed=what, received=str(path), fix=f"There is no file {file}, which it names."
                )
    else:
        raise InvalidParameter(
            "images", allowed="a folder, a picture, a text file of paths or photos:N", received=str(place),
            fix="There is nothing at that place.",
        )  # fmt: skip
    if not found:
        raise InvalidParameter("images", allowed=what, received=str(path), fix="There is none in it.")
    return FileSource(tuple(found), size, channels)


def _first(item: Any) -> NDArray[Any]:
    return np.asarray(item[0] if isinstance(item, (tuple, list)) else item)


def _path(item: str | Path) -> Path:
    path = Path(item).expanduser()
    if not path.is_file():
        raise InvalidParameter("images", allowed="paths of files", received=str(item), fix="There is no such file.")
    return path
