"""Sources over iterables and data loaders, which may allow only one pass and yield batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from phosphene.data.items import Conversion
from phosphene.data.minibatches import is_batch, unrolled
from phosphene.data.sequences import raised
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter, PhospheneError, said

__all__ = [
    "LARGEST",
    "IterableSource",
    "is_iterable_only",
    "is_loader",
    "length_of",
    "source_of_batches",
    "source_of_iterable",
    "source_of_loader",
    "with_column",
]

LARGEST = 1_000_000_000
"""Largest number of images: a length beyond it is taken for a mistake rather than gone through for years."""


MOST_BATCHES = 10_000_000
"""Largest number of batches that are gone through to add up their lengths."""


@dataclass(frozen=True)
class IterableSource(Source):
    """The first `count` images of an iterable, which may allow only one pass; batches are unrolled."""

    items: Iterable[Any]
    count: int
    conversion: Conversion
    what: str
    batched: bool = False
    """Whether each item of the iterable is a batch."""
    position: list[int] = field(default_factory=lambda: [0])

    def __len__(self) -> int:
        return self.count

    @property
    def once(self) -> bool:
        return iter(self.items) is self.items

    def image(self, index: int) -> NDArray[Any]:
        raise TypeError("an iterable cannot be indexed")

    def each(self, start: int, executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        # An iterator resumes where it was left: the images before that are consumed.
        once = self.once
        begin = self.position[0] if once else 0
        if start < begin:
            raise InvalidParameter(
                "images",
                allowed="images that can be read again from the beginning",
                received=said(f"an iterator that is already past image {start}"),
                fix="Give a new iterator, or a list.",
            )
        place = begin - 1
        for place, item in enumerate(itertools.islice(self._every(), self.count - begin), begin):
            if once:
                self.position[0] = place + 1
            if place >= start:
                try:
                    found: NDArray[Any] | CorruptFile = self.conversion.image(item, self.name(place))
                except CorruptFile as error:
                    found = error
                yield found
        if place + 1 < self.count:
            raise InvalidParameter(
                "images",
                allowed=f"{self.count} images, as its length or count= says",
                received=said(f"{place + 1}, after which the {self.what} ends"),
                fix=f"Give count={max(place + 1, 1)}, or correct its length.",
            )

    def some(self, numbers: Iterable[int], executor: Executor | None) -> Iterator[NDArray[Any] | CorruptFile]:
        wanted = set(numbers)
        every = zip(itertools.count(), self.each(0, executor), strict=False)
        for number, image in itertools.islice(every, max(wanted, default=-1) + 1):
            if number in wanted:
                yield image

    def identity(self) -> str:
        return f"{self.what} of {self.count}"

    def _every(self) -> Iterator[Any]:
        """All items, those of batches one by one."""
        for item in gone_through(self.items, self.what):
            if self.batched or is_batch(item, self.conversion):
                yield from unrolled(item, self.conversion)
            else:
                yield item


def source_of_iterable(images: Any, conversion: Conversion, count: int | None) -> Source:
    """The images of an iterable.

    Raises
    ------
    InvalidParameter
        If its length is not known and `count` is not given.
    CorruptFile
        If it raises an exception.
    """
    what = type(images).__qualname__
    conversion = with_column(images, conversion)
    once = iter(images) is images
    if hasattr(images, "__len__") and not once:
        first = next(iter(gone_through(images, what)), None)
        if first is not None and is_batch(first, conversion):
            return source_of_batches(images, conversion, what, count)
        return IterableSource(images, length_of(images, "images"), conversion, what)
    if count is None:
        raise InvalidParameter(
            "count",
            allowed="the number of images",
            received=None,
            fix="The length of an iterable is unknown: give count=1000, for example, or pass a list.",
        )
    return IterableSource(images, count, conversion, what)


def source_of_batches(images: Any, conversion: Conversion, what: str, count: int | None) -> Source:
    """The images of an iterable of batches, whose number must be given; `what` is its name in messages."""
    if count is None:
        raise InvalidParameter(
            "count",
            allowed="the number of images",
            received=None,
            fix=f"The items of this {what} are batches, of which the lengths are not known: give count=1000, for example.",
        )
    return IterableSource(images, count, conversion, what, batched=True)


def source_of_loader(loader: Any, conversion: Conversion, count: int | None) -> Source:
    """The images of a DataLoader of torch, of which batches are unrolled.

    Raises
    ------
    InvalidParameter
        If it shuffles, or the number of its images is not known and `count` is not given.
    """
    batches = getattr(loader, "batch_sampler", None)
    for sampler in (loader.sampler, batches, getattr(batches, "sampler", None)):
        if any("Random" in base.__name__ for base in type(sampler).__mro__):
            raise InvalidParameter(
                "images",
                allowed="a data loader with a fixed order",
                received=said("one that shuffles"),
                fix="Make it with shuffle=False: the rows of a result are the images in their order.",
            )
    conversion = with_column(loader.dataset, conversion)
    if batches is None and loader.batch_size is None:  # the data set makes its own batches, or there are none
        return source_of_iterable(loader, conversion, count)
    total = _images_of(loader, batches)
    if total is None:
        total = count
    if total is None:
        raise InvalidParameter(
            "count",
            allowed="the number of images",
            received=None,
            fix="The length of an iterable data set is unknown: give count=1000, for example.",
        )
    return IterableSource(loader, total, conversion, "DataLoader", batched=True)


def _images_of(loader: Any, batches: Any) -> int | None:
    """How many images a loader yields; None if that is not known."""
    try:
        if is_iterable_only(loader.dataset):
            total = len(loader.dataset)
        elif loader.batch_size is None:  # batches of the user's own making
            count = len(batches)
            return sum(len(batch) for batch in itertools.islice(batches, count)) if count <= MOST_BATCHES else None
        else:
            total = len(loader.sampler)
    except Exception:  # noqa: BLE001  # lengths of users' classes share no exception
        return None
    return int(total // loader.batch_size * loader.batch_size if loader.drop_last else total)


def is_iterable_only(images: Any) -> bool:
    """Whether a data set of torch is gone through, although it inherits the methods of a sequence."""
    return any(base.__name__ == "IterableDataset" for base in type(images).__mro__)


def is_loader(images: Any) -> bool:
    """Whether a value is a DataLoader of torch; torch is not imported to tell."""
    return any(base.__name__ == "DataLoader" and base.__module__.startswith("torch") for base in type(images).__mro__)


def with_column(images: Any, conversion: Conversion) -> Conversion:
    """The column of a data set of Hugging Face, which says which of its columns hold images."""
    features = getattr(images, "features", None)
    if conversion.column is None and isinstance(features, Mapping):
        held = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
        if len(held) == 1:
            return replace(conversion, column=held[0])
    return conversion


def length_of(images: Any, parameter: str) -> int:
    """The length of a sequence of a user's own; raises `InvalidParameter` where that raises."""
    try:
        return len(images)
    except Exception as error:  # lengths of users' classes share no exception
        raise InvalidParameter(
            parameter,
            allowed="a sequence with a length",
            received=said(f"a {type(images).__qualname__}, whose length cannot be had ({error!r})"),
            fix="Give an iterator and count=: ph.images(iter(images), count=1000).",
        ) from error


def gone_through(images: Any, what: str) -> Iterator[Any]:
    """Items of an iterable; its exceptions are told as errors of its item."""
    taken = 0
    try:
        for item in images:
            yield item
            taken += 1
    except (PhospheneError, GeneratorExit):
        raise
    except Exception as error:  # iterables of users share no exception
        raise raised(f"item {taken} of the {what}", error) from error
