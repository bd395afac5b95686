"""Reading of an image source: in batches, whole, or selected images; every image is checked."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter, said
from phosphene.kit.checks import choice
from phosphene.kit.images import layout_advice, scaled
from phosphene.types import Size
from phosphene.words import plain_message

__all__ = ["check_on_error", "loaded", "picked", "stream"]

LOG = logging.getLogger("phosphene")


def stream(
    source: Source,
    size: Size | None,
    channels: int,
    batch: int,
    *,
    start: int = 0,
    executor: Executor | None = None,
    on_error: str = "raise",
    seen: Callable[[NDArray[Any] | CorruptFile], None] | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield batches of images, and which of them could be read.

    Parameters
    ----------
    source : Source
    size : (int, int), optional
        Height and width that all images must have (default: those of the first).
    channels : int
    batch : int
        Images per batch; the last batch may be shorter.
    start : int, default 0
        Index of the first image.
    executor : concurrent.futures.Executor, optional
        Reads and decodes images ahead (default: they are read in this thread).
    on_error : {"raise", "skip"}, default "raise"
        Whether an image that cannot be read raises, or is logged and left mid-grey.
    seen : callable, optional
        Called with each image as the source yields it, such as `phosphene.data.digests.Digests`.

    Yields
    ------
    images : (n, H, W, channels) float32
        In [0, 1].
    readable : (n,) bool

    Raises
    ------
    CorruptFile
        When an image cannot be read and `on_error` is "raise".
    InvalidImages
        When an image has another size, number of channels, dtype or range.
    InvalidParameter
        For an unknown `on_error`.
    """
    check_on_error(on_error)
    images = source.each(start, executor)
    number = start
    while rows := list(itertools.islice(images, batch)):
        whole: NDArray[np.float32] | None = None
        good = np.ones(len(rows), np.bool_)
        for row, found in enumerate(rows):
            if seen is not None:
                seen(found)
            if isinstance(found, CorruptFile):
                if on_error == "raise":
                    raise found
                LOG.warning("skipped %s", plain_message(found))
                good[row] = False
                continue
            image = _checked(found, channels, size, source.name(number + row))
            size = (image.shape[0], image.shape[1])
            if whole is None:
                whole = np.full((len(rows), *image.shape), 0.5, np.float32)
            whole[row] = image
        if whole is None:
            whole = np.full((len(rows), *(size or (1, 1)), channels), 0.5, np.float32)
        number += len(rows)
        yield whole, good


def loaded(
    source: Source, size: Size | None, channels: int, *, executor: Executor | None = None, on_error: str = "raise"
) -> NDArray[np.float32]:
    """Read all readable images into one array ``(N, H, W, channels)``; see `stream`.

    Raises
    ------
    InvalidParameter
        For more images than the memory of this machine holds.
    """
    pieces: list[NDArray[np.float32]] = []
    for whole, good in stream(source, size, channels, 64, executor=executor, on_error=on_error):
        if not pieces:
            _check_memory(len(source), whole[0])
        pieces.append(whole[good])
    return np.concatenate(pieces) if pieces else np.zeros((0, *(size or (1, 1)), channels), np.float32)


def _check_memory(count: int, image: NDArray[np.float32]) -> None:
    """A length may be a mistake, and a data set may answer for ever: find out before the memory is full."""
    needed, held = count * image.nbytes, _memory()
    if needed > held:
        raise InvalidParameter(
            "images",
            allowed=f"images that fit into the memory of this machine, {held / 1e9:.0f} GB",
            received=said(f"{count:,} images of {' x '.join(map(str, image.shape))}, {needed / 1e9:,.0f} GB as floats"),
            fix="Use fewer: count=1000, for example. Calls with out= stream them instead.",
        )


def _memory() -> int:
    """Memory of this machine in bytes; where it does not tell, more than any has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 1 << 60


def picked(
    source: Source, numbers: Sequence[int], size: Size, channels: int, *, executor: Executor | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield selected images, float32 ``(H, W, channels)`` in [0, 1]; others are not read if the source allows it.

    Parameters
    ----------
    source : Source
    numbers : sequence of int
        Indices of the images, in ascending order.
    size : (int, int)
        Height and width of the network's input.
    channels : int
    executor : concurrent.futures.Executor, optional
        Reads and decodes images ahead (default: they are read in this thread).

    Raises
    ------
    CorruptFile
        When an image cannot be read.
    InvalidImages
        When an image has another size, number of channels, dtype or range.
    InvalidParameter
        For indices that are out of range or not in ascending order.
    """
    wanted = np.asarray(numbers, np.int64)
    if wanted.size and (wanted[0] < 0 or wanted[-1] >= len(source) or (np.diff(wanted) <= 0).any()):
        raise InvalidParameter(
            "numbers",
            allowed=f"ascending indices from 0 to {len(source) - 1}",
            received=numbers,
            fix="Sort them, and remove duplicates.",
        )
    chosen = wanted.tolist()
    for number, found in zip(chosen, source.some(chosen, executor), strict=True):
        if isinstance(found, CorruptFile):
            raise found
        yield _checked(found, channels, size, source.name(number))


def check_on_error(on_error: str) -> None:
    """Raise `InvalidParameter` unless `on_error` is "raise" or "skip"."""
    choice("on_error", on_error, ("raise", "skip"), fix="'skip' leaves out images that cannot be read.")


def _checked(image: NDArray[Any], channels: int, size: Size | None, name: str) -> NDArray[np.float32]:
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[-1] != channels or 0 in array.shape:
        raise InvalidImages(
            name,
            allowed=f"shape (H, W, {channels})",
            received=said(f"shape {array.shape}"),
            fix=layout_advice(array.shape, channels),
        )
    if size is not None and array.shape[:2] != tuple(size):
        raise InvalidImages(
            name,
            allowed=f"{size[0]} x {size[1]} pixels, like the images before it",
            received=said(f"{array.shape[0]} x {array.shape[1]}"),
            fix='Arrays are not resized unless you say how: ph.images(images, fit="crop").',
        )
    return scaled(array, name)
