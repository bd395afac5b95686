"""The interface of image sources, and reading ahead in an executor."""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from numpy.typing import NDArray

from phosphene.errors import CorruptFile

__all__ = ["Source"]

AHEAD = 128
"""Largest number of images that an executor reads ahead; it bounds the memory."""


class Source(abc.ABC):
    """A sequence of images."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def image(self, index: int) -> NDArray[Any]:
        """Read image `index`, ``(H, W, C)``, as floats in [0, 1] or bytes; raise `CorruptFile` when it cannot be read."""

    @abc.abstractmethod
    def identity(self) -> str:
        """Return a text that is equal for equal images, as far as can be told without reading them."""

    @property
    def once(self) -> bool:
        """Whether the images can be gone through only once, in order."""
        return False

    @property
    def stated(self) -> bool:
        """Whether the user states the identity, so that pixels are not compared."""
        return False

    @property
    def of_files(self) -> bool:
        """Whether the identity tells of each file when it was changed, so that a few images are compared rather than all."""
        return False

    def name(self, index: int) -> str:
        """Name of image `index` in messages."""
        return f"image {index}"

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        """Yield images from `start` on, in order; an image that cannot be read is yielded as its error."""
        return self.some(range(start, len(self)), executor)

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        """Yield images of these ascending indices; an image that cannot be read is yielded as its error."""
        parts = (self.part(index) for index in numbers)
        return (_read(*part) for part in parts) if executor is None else _ahead(executor, parts)

    def part(self, index: int) -> tuple[Source, int]:
        """A source that holds at least image `index`, and its index there: what is sent to another process."""
        return self, index


def _read(source: Source, index: int) -> NDArray[Any] | CorruptFile:
    """Call `Source.image` and return its error as a value: raised in a generator, it would end the iteration."""
    try:
        return source.image(index)
    except CorruptFile as error:
        return error


def _ahead(executor: Executor, parts: Iterable[tuple[Source, int]]) -> Iterator[NDArray[Any] | CorruptFile]:
    """Yield all parts in order, read by the executor at most `AHEAD` images in advance."""
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
