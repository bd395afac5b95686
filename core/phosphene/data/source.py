"""What a source of images is, and how another thread or process reads ahead of it."""

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
"""Images that an executor reads before they are asked for, at most: it bounds the memory, however fast it reads."""


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
        return self.some(range(start, len(self)), executor)

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        """Images of these numbers, which ascend; what cannot be read is its error."""
        parts = (self.part(index) for index in numbers)
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
