"""Sources over arrays and sequences, the first images of a source, and a source whose identity is stated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from phosphene.data.crops import Crops
from phosphene.data.items import Conversion
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter, PhospheneError, said

__all__ = ["ArraySource", "FirstOf", "Named", "SequenceSource", "about_item", "raised"]


@dataclass(frozen=True)
class ArraySource(Source):
    """Rows of an array ``(N, H, W, C)`` or ``(N, C, H, W)``, in memory or on disk; each row is converted when it is read."""

    array: Any
    conversion: Conversion

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def image(self, index: int) -> NDArray[Any]:
        return self.conversion.array(self.array[index], self.name(index))

    def part(self, index: int) -> tuple[Source, int]:
        return replace(self, array=self.array[index : index + 1]), 0

    def identity(self) -> str:
        return f"array {tuple(self.array.shape)} {str(self.array.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class SequenceSource(Source):
    """A sequence of items that are, or hold, an image each."""

    items: Sequence[Any]
    conversion: Conversion
    what: str

    def __len__(self) -> int:
        return len(self.items)

    def image(self, index: int) -> NDArray[Any]:
        try:
            item = self.items[index]
        except PhospheneError:
            raise
        except (IndexError, KeyError) as error:
            if isinstance(error, KeyError) and not about_item(error, index):
                raise raised(self.name(index), error) from error
            raise InvalidParameter(
                "images",
                allowed=f"a sequence with items 0 to {len(self.items) - 1}, as its length says",
                received=said(f"a {self.what} without item {index} ({error!r})"),
                fix="Correct its length, or give count=, the number of images that it has.",
            ) from error
        except Exception as error:  # data sets of users share no exception
            raise raised(self.name(index), error) from error
        return self.conversion.image(item, self.name(index))

    def part(self, index: int) -> tuple[Source, int]:
        # A list is not sent to another process whole; a data set is, so that its items are made there.
        return (replace(self, items=[self.items[index]]), 0) if isinstance(self.items, (list, tuple)) else (self, index)

    def identity(self) -> str:
        return repr(self.items) if isinstance(self.items, Crops) else f"{self.what} of {len(self.items)}"


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

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        return self.source.some(numbers, executor)

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        return self.source.some(range(start, self.count), executor)

    @property
    def once(self) -> bool:
        return self.source.once

    @property
    def stated(self) -> bool:
        return self.source.stated

    @property
    def of_files(self) -> bool:
        return self.source.of_files

    def identity(self) -> str:
        return f"the first {self.count} of {self.source.identity()}"


@dataclass(frozen=True)
class Named(Source):
    """A source whose identity the user states; its pixels are not compared."""

    source: Source
    label: str

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> NDArray[Any]:
        return self.source.image(index)

    def part(self, index: int) -> tuple[Source, int]:
        return self.source.part(index)

    def name(self, index: int) -> str:
        return self.source.name(index)

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        return self.source.each(start, executor)

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        return self.source.some(numbers, executor)

    def identity(self) -> str:
        return f"stated: {self.label}"

    @property
    def once(self) -> bool:
        return self.source.once

    @property
    def stated(self) -> bool:
        return True


def raised(name: str, error: Exception) -> CorruptFile:
    """The error for an exception of a user's data set, at the item of that name."""
    # Data loaders pass on the whole text of a worker's exception, whose last line tells.
    lines = [line for line in str(error).splitlines() if line.strip()] or ["no message"]
    return CorruptFile(name, f"cannot be read: its data set raised {type(error).__name__} ({lines[-1][:300]})")


def about_item(error: KeyError, index: int) -> bool:
    """Whether an exception says that there is no item of that index, rather than something else within it."""
    return bool(error.args) and error.args[0] == index
