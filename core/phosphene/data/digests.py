"""Digests of the pixels of a data set: taken as images stream, and compared before a later call relies on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.locations import CropSource
from phosphene.data.source import Source
from phosphene.data.sources import FirstOf, IterableSource
from phosphene.errors import CorruptFile, OtherStore

__all__ = ["WIDTH", "Digests", "check_pixels", "digest_of", "digest_of_all", "other_images"]

WIDTH = 16
"""Hexadecimal digits of the digest of an image."""

PROBES = 16
"""Images that are compared before any other, and the only ones of a source whose identity says which files it reads."""

UNREADABLE = "0" * WIDTH
"""In place of the digest of an image that could not be read."""


def digest_of(image: NDArray[Any] | CorruptFile) -> str:
    """Digest of an image, as a source yields it; it depends on pixels and shape (XXH3, Collet 2019).

    Bytes and the same pixels as floats have one digest.
    """
    if isinstance(image, CorruptFile):
        return UNREADABLE
    import xxhash

    array = np.ascontiguousarray(image, np.float32)
    if image.dtype == np.uint8:
        array = array / np.float32(255)
    seed = xxhash.xxh3_64_intdigest(f"{array.shape}".encode())
    return xxhash.xxh3_64_hexdigest(array.data, seed=seed)


@dataclass
class Digests:
    """Collects the digests of images in the order in which they stream."""

    kept: list[str] = field(default_factory=list)

    def __call__(self, image: NDArray[Any] | CorruptFile) -> None:
        self.kept.append(digest_of(image))

    def taken(self) -> str:
        """The digests since the last call, `WIDTH` digits per image."""
        text = "".join(self.kept)
        self.kept.clear()
        return text


def check_pixels(
    source: Source,
    known: Mapping[int, str],
    place: Path | str,
    *,
    executor: Executor | None = None,
    stop: Callable[[int], bool] | None = None,
) -> None:
    """Compare the pixels of a source with digests that were kept when they were first read.

    A few images are compared first, then all; of files, whose names, sizes and times were compared already, only the few. Crops of
    the photographs and sources whose identity is stated are not compared.

    Parameters
    ----------
    source : Source
    known : mapping of int to str
        Digests by the index of the image.
    place : Path or str
        What was made from the images, for the message.
    executor : concurrent.futures.Executor, optional
        Reads and decodes images ahead.
    stop : callable, optional
        Called with the number of images compared; a true value ends the comparison.

    Raises
    ------
    OtherStore
        For an image that differs from the one that was read first.
    """
    if not known or source.stated or _is_fixed(source):
        return
    numbers = sorted(known)
    if not isinstance(source, IterableSource):
        few = sorted({numbers[round(place)] for place in np.linspace(0, len(numbers) - 1, PROBES)})
        _compare(source.some(few, executor), few, known, place, source, stop)
        if source.of_files or len(few) == len(numbers):
            return
    _compare(source.some(numbers, executor), numbers, known, place, source, stop)


def _compare(
    images: Iterable[NDArray[Any] | CorruptFile],
    numbers: list[int],
    known: Mapping[int, str],
    place: Path | str,
    source: Source,
    stop: Callable[[int], bool] | None,
) -> None:
    compared = 0
    for number, image in zip(numbers, images, strict=False):
        if digest_of(image) != known[number]:
            raise other_images(place, source.name(number))
        compared += 1
        if stop is not None and stop(compared):
            return
    if compared < len(numbers):
        raise OtherStore(
            f"images: {place} was made from {max(numbers) + 1} images or more, but these end after fewer. Pass the same images "
            "(an iterator from its beginning), or choose another folder."
        )


def other_images(place: Path | str, name: str = "an image") -> OtherStore:
    """The error for images that are not those that something was made from."""
    return OtherStore(
        f"images: {place} was made from other images: {name} is not the one that it was made from. Pass the same images in the "
        "same order (an iterator from its beginning), or choose another folder. If these are the same images in another form, or "
        'are changed at random, state it: ph.images(images, identity="...").'
    )


def digest_of_all(text: str) -> str:
    """One digest for the images whose digests follow one another in `text`."""
    import xxhash

    return xxhash.xxh3_128_hexdigest(text.encode())


def _is_fixed(source: Source) -> bool:
    """Whether the identity of a source says all about its pixels."""
    return isinstance(source, CropSource) or (isinstance(source, FirstOf) and _is_fixed(source.source))
