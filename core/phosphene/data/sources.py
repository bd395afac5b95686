"""Image sources from what users pass: an array, a path, a list of paths, a sequence, an iterable."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.crops import Crops
from phosphene.data.locations import FileSource, source_at
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter, refuse_foreign, said
from phosphene.kit.checks import integer
from phosphene.types import Size

__all__ = ["source_of"]


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
class SequenceSource(Source):
    """A sequence of images, or of tuples that begin with an image (such as image and label)."""

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
class FirstOf(Source):
    """The first images of another source."""

    source: Source
    count: int

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> NDArray[Any]:
        return self.source.image(index)

    def part(self, index: int) -> tuple[Source, int]:
        return self.source.part(index)

    def name(self, index: int) -> str:
        return self.source.name(index)

    def identity(self) -> str:
        return f"the first {self.count} of {self.source.identity()}"


@dataclass(frozen=True)
class IterableSource(Source):
    """The first `count` images of an iterable, which may allow only one pass."""

    items: Iterable[Any]
    count: int
    position: list[int] = field(default_factory=lambda: [0])

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> NDArray[Any]:
        raise TypeError("an iterable cannot be indexed")

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        # An iterator resumes where it was left: the images before that are consumed.
        once = iter(self.items) is self.items
        begin = self.position[0] if once else 0
        if start < begin:
            raise InvalidParameter(
                "images",
                allowed="images that can be read again from the beginning",
                received=said(f"an iterator that is already past image {start}"),
                fix="Give a new iterator, or a list.",
            )
        for place, item in enumerate(itertools.islice(self.items, self.count - begin), begin):
            if once:
                self.position[0] = place + 1
            if place >= start:
                yield _first(item)

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        wanted = set(numbers)
        every = zip(itertools.count(), self.each(0, executor))
        return (image for number, image in every if number in wanted)

    def identity(self) -> str:
        return f"{type(self.items).__qualname__} of {self.count}"


def source_of(images: Any, size: Size, channels: int, *, count: int | None = None) -> Source:
    """Make an image source from what a user passed.

    Parameters
    ----------
    images : array (N, H, W, C) or (H, W, C), path, str, sequence or iterable
        A path is a folder of images (searched recursively, sorted by name), an image file, or a text file with one path per
        line (relative paths are resolved against its folder); ``"photos:N[:SEED]"`` are crops of the photographs. Items of a
        sequence or an iterable are images, or tuples that begin with one.
    size : (int, int)
        Height and width of the network's input, to which files are resized.
    channels : int
    count : int, optional
        Number of images to use, from the first on (default: all). Required for an iterable without a length.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        For a path at which nothing exists, an iterable of unknown length, and a count above the number of images.
    """
    if count is None:
        return _whole(images, size, channels, None)
    found = _whole(images, size, channels, integer("count", count, minimum=1))
    if count > len(found):
        raise InvalidParameter(
            "count",
            allowed=f"at most {len(found)}, the number of images",
            received=count,
            fix="Leave count out to use all images.",
        )
    if count == len(found):
        return found
    return IterableSource(found.items, count) if isinstance(found, IterableSource) else FirstOf(found, count)


def _whole(images: Any, size: Size, channels: int, count: int | None) -> Source:
    """The source of all images; `count` is used as the length of an iterable that has none."""
    if isinstance(images, Source):
        return images
    refuse_foreign(images)
    if isinstance(images, (str, Path)):
        return source_at(images, size, channels)
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
                "count",
                allowed="the number of images",
                received=None,
                fix="The length of an iterable is unknown: give count=1000, for example, or pass a list.",
            )
        return IterableSource(images, length)
    raise InvalidParameter(
        "images",
        allowed="an array, a path, a sequence or an iterable",
        received=images,
        fix='For example a NumPy array (N, H, W, C), a folder, or "photos:200".',
    )


def _first(item: Any) -> NDArray[Any]:
    return np.asarray(item[0] if isinstance(item, (tuple, list)) else item)


def _path(item: str | Path) -> Path:
    path = Path(item).expanduser()
    if not path.is_file():
        raise InvalidParameter(
            "images",
            allowed="paths of image files",
            received=str(item),
            fix="That file does not exist: check the path.",
        )
    return path
