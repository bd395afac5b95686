"""Images from whatever a person hands over: an array, a place, a list of paths, a sequence, an iterable."""

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
from phosphene.data.places import FileSource, source_at
from phosphene.data.source import Source
from phosphene.draws import integer
from phosphene.errors import CorruptFile, InvalidParameter, refuse_foreign, said
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

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        wanted = set(numbers)
        every = zip(itertools.count(), self.each(0, executor))
        return (image for number, image in every if number in wanted)

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
        How many: the first so many, where there are more. An iterable without a length needs it.

    Returns
    -------
    Source

    Raises
    ------
    InvalidParameter
        For a place where there is nothing, an iterable of unknown length, and a count that is larger than there are images.
    """
    if count is None:
        return _whole(images, size, channels, None)
    found = _whole(images, size, channels, integer("count", count, minimum=1))
    if count > len(found):
        raise InvalidParameter(
            "count", allowed=f"at most {len(found)}, as many images as there are", received=count, fix=""
        )
    if count == len(found):
        return found
    return IterableSource(found.items, count) if isinstance(found, IterableSource) else FirstOf(found, count)


def _whole(images: Any, size: Size, channels: int, count: int | None) -> Source:
    """All images; `count` is the length of an iterable that has none."""
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
                "count", allowed="the number of images", received=None,
                fix="An iterable does not say how many it has: write count=1000, or hand over a list.",
            )  # fmt: skip
        return IterableSource(images, length)
    raise InvalidParameter(
        "images", allowed="an array, a folder, a text file of paths, a sequence or an iterable", received=images, fix=""
    )


def _first(item: Any) -> NDArray[Any]:
    return np.asarray(item[0] if isinstance(item, (tuple, list)) else item)


def _path(item: str | Path) -> Path:
    path = Path(item).expanduser()
    if not path.is_file():
        raise InvalidParameter("images", allowed="paths of files", received=str(item), fix="There is no such file.")
    return path
