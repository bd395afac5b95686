"""Reading of an image source: in batches, whole, or selected images; every image is checked."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidImages, InvalidParameter, said
from phosphene.kit.checks import choice
from phosphene.types import Size

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
            if isinstance(found, CorruptFile):
                if on_error == "raise":
                    raise found
                LOG.warning("skipped %s", found)
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
    source: Source, size: Size, channels: int, *, executor: Executor | None = None, on_error: str = "raise"
) -> NDArray[np.float32]:
    """Read all readable images into one array ``(N, H, W, channels)``; see `stream`."""
    pieces = [whole[good] for whole, good in stream(source, size, channels, 64, executor=executor, on_error=on_error)]
    return np.concatenate(pieces) if pieces else np.zeros((0, *size, channels), np.float32)


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
            fix="The layout is channel-last.",
        )
    if size is not None and array.shape[:2] != size:
        raise InvalidImages(
            name,
            allowed=f"{size[0]} x {size[1]} pixels, like the images before it",
            received=said(f"{array.shape[0]} x {array.shape[1]}"),
            fix="Resize or crop arrays to one size first; only files are resized for you.",
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidImages(
            name,
            allowed="floats in [0, 1] or bytes",
            received=said(f"dtype {array.dtype}"),
            fix="Divide by the largest value of the dtype.",
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # true for NaN as well
        raise InvalidImages(
            name,
            allowed="values in [0, 1]",
            received=said(f"values from {low:.4g} to {high:.4g}"),
            fix="Undo the normalisation (the network applies mean and std itself), and find where NaN values come from.",
        )
    return array.astype(np.float32)
