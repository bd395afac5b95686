"""Boxes of images, cut out and brought to one size: each image is read once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.streaming import picked
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.types import Size

__all__ = ["cut_patches", "resized"]

AT_ONCE = 256
"""Images after which progress is told."""


def cut_patches(
    network: Network,
    source: Source,
    images: ArrayLike,
    boxes: ArrayLike,
    size: Size | None = None,
    *,
    executor: Executor | None = None,
    tell: Callable[[int], bool | None] | None = None,
) -> NDArray[np.uint8]:
    """Boxes of images, cut out. Each image is read once, in ascending order, and only one is held.

    Parameters
    ----------
    network : Network
        Whose input the images are.
    source : Source
    images : array-like (P,) of int
        Which image each patch is of; in any order.
    boxes : array-like (P, 4) of int
        Top, bottom, left, right in pixels, half-open and inside the image, such as `phosphene.atlas.windows.Window.boxes` gives.
    size : (int, int), optional
        Height and width that the patches are brought to; that of the boxes when absent, which must then be the same for all.
    executor : concurrent.futures.Executor, optional
        Who reads and decodes the images.
    tell : callable, optional
        Called with the number of images done, now and then.

    Returns
    -------
    numpy.ndarray (P, height, width, C)
        Bytes.

    Raises
    ------
    InvalidParameter
        For boxes outside the image, empty ones, and images that there are not.
    CorruptFile, InvalidImages
        For an image that cannot be read, or that does not fit the network.
    MissingDependency
        When Pillow is not installed and a patch has to be resized.
    """
    spec = network.input
    wanted, corners = np.asarray(images, np.int64), np.asarray(boxes, np.int64).reshape(-1, 4)
    top, bottom, left, right = corners.T
    bad = (top < 0) | (left < 0) | (bottom > spec.size[0]) | (right > spec.size[1]) | (top >= bottom) | (left >= right)
    if len(wanted) != len(corners) or bad.any():
        raise InvalidParameter(
            "boxes", allowed=f"one for each of {len(wanted)} patches, inside {spec.size[0]} x {spec.size[1]} pixels",
            received=said(str(corners[bad][0].tolist()) if bad.any() else f"{len(corners)} of them"),
            fix="Top, bottom, left, right.",
        )  # fmt: skip
    shape = size or (int((bottom - top).max(initial=1)), int((right - left).max(initial=1)))
    found = np.empty((len(wanted), *shape, spec.channels), np.uint8)
    order = np.argsort(wanted, kind="stable")
    numbers, starts = np.unique(wanted[order], return_index=True)
    runs = np.split(order, starts[1:])
    pictures = picked(source, numbers.tolist(), spec.size, spec.channels, executor=executor)
    for done, (picture, run) in enumerate(zip(pictures, runs, strict=True), 1):
        pixels = np.round(picture * 255).clip(0, 255).astype(np.uint8)
        for row in run:
            found[row] = resized(pixels[top[row] : bottom[row], left[row] : right[row]], shape)
        if tell is not None and (done % AT_ONCE == 0 or done == len(numbers)):
            tell(done)
    return found


def resized(picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """A picture ``(H, W, C)`` at another size, bicubic; itself where it has that size."""
    if picture.shape[:2] == tuple(size):
        return picture
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency("pillow", "demo") from error
    # Channel by channel: Pillow knows pictures of one, three and four channels only.
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(picture[..., channel])).resize(
                (size[1], size[0]), Image.Resampling.BICUBIC
            )
        )
        for channel in range(picture.shape[-1])
    ]
    return np.stack(planes, axis=-1)
