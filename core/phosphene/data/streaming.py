"""Batches of a source's images, checked one by one."""

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
    """Batches of `batch` images from `start` on as float32 in [0, 1], and which of them could be read (the rest is mid-grey).

    The last batch may be shorter. What is skipped is named in the log.

    Raises
    ------
    CorruptFile
        When one cannot be read and `on_error` is "raise".
    InvalidImages
        When one has another size, number of channels, dtype or range.
    InvalidParameter
        For another `on_error`.
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
    """All images that can be read, at once, ``(N, H, W, channels)``; see `stream`."""
    pieces = [whole[good] for whole, good in stream(source, size, channels, 64, executor=executor, on_error=on_error)]
    return np.concatenate(pieces) if pieces else np.zeros((0, *size, channels), np.float32)


def picked(
    source: Source, numbers: Sequence[int], size: Size, channels: int, *, executor: Executor | None = None
) -> Iterator[NDArray[np.float32]]:
    """Images of these numbers, one by one as float32 ``(H, W, channels)`` in [0, 1]; no other image is read where that can be.

    Parameters
    ----------
    source : Source
    numbers : sequence of int
        Ascending.
    size, channels : (int, int), int
        What the network takes.
    executor : concurrent.futures.Executor, optional
        Who reads and decodes.

    Raises
    ------
    CorruptFile
        When one cannot be read.
    InvalidImages
        When one has another size, number of channels, dtype or range.
    InvalidParameter
        For numbers that do not ascend, or that the source does not have.
    """
    wanted = np.asarray(numbers, np.int64)
    if wanted.size and (wanted[0] < 0 or wanted[-1] >= len(source) or (np.diff(wanted) <= 0).any()):
        raise InvalidParameter(
            "numbers", allowed=f"numbers from 0 to {len(source) - 1} that ascend", received=numbers, fix="Sort them."
        )
    chosen = wanted.tolist()
    for number, found in zip(chosen, source.some(chosen, executor), strict=True):
        if isinstance(found, CorruptFile):
            raise found
        yield _checked(found, channels, size, source.name(number))


def check_on_error(on_error: str) -> None:
    """Raise `InvalidParameter` unless it is "raise" or "skip"."""
    if on_error not in ("raise", "skip"):
        raise InvalidParameter(
            "on_error", allowed="'raise' or 'skip'", received=on_error,
            fix="'skip' leaves out what cannot be read, and counts it.",
        )  # fmt: skip


def _checked(image: NDArray[Any], channels: int, size: Size | None, name: str) -> NDArray[np.float32]:
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[-1] != channels or 0 in array.shape:
        raise InvalidImages(
            name,
            allowed=f"shape (H, W, {channels})",
            received=said(f"shape {array.shape}"),
            fix="Layout is channel-last.",
        )
    if size is not None and array.shape[:2] != size:
        raise InvalidImages(
            name, allowed=f"{size[0]} x {size[1]} pixels, like those before it",
            received=said(f"{array.shape[0]} x {array.shape[1]}"), fix="Resize or crop them first; files are brought to one size.",
        )  # fmt: skip
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidImages(
            name,
            allowed="floats in [0, 1] or bytes",
            received=said(f"dtype {array.dtype}"),
            fix="Divide by the largest value.",
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # also where they are NaN
        raise InvalidImages(
            name, allowed="values in [0, 1]", received=said(f"values from {low:.4g} to {high:.4g}"),
            fix="Undo the normalisation, and find where NaN come from: mean and std are applied by the network.",
        )  # fmt: skip
    return array.astype(np.float32)
