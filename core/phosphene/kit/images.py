"""Validation of images: shape, dtype, range and NaN, before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import InputSpec
from phosphene.errors import InvalidImages, said
from phosphene.types import Size

__all__ = ["check_images", "layout_advice", "scaled"]


def check_images(
    images: Any, spec: InputSpec, *, parameter: str = "images", size: Size | None = None
) -> NDArray[np.float32]:
    """Check images, and return them as float32 ``(N, H, W, C)``.

    Parameters
    ----------
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1], or bytes.
    spec : InputSpec
        Input of the network.
    parameter : str, default "images"
        Name of the argument in messages.
    size : (int, int), optional
        Required height and width (default: any).

    Returns
    -------
    numpy.ndarray (N, H, W, C)

    Raises
    ------
    InvalidImages
        For images of the wrong shape, dtype or range, and for NaN.
    """
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise InvalidImages(
            parameter, allowed="images of one size", received=said(_sizes(images)), fix="Resize or crop them first."
        ) from error
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] != spec.channels or 0 in array.shape:
        raise InvalidImages(
            parameter,
            allowed=f"shape (N, H, W, {spec.channels}) or (H, W, {spec.channels})",
            received=said(f"shape {np.asarray(images).shape}"),
            fix=layout_advice(array.shape, spec.channels),
        )
    if size is not None and array.shape[1:3] != tuple(size):
        raise InvalidImages(
            parameter,
            allowed=f"images of {size[0]} x {size[1]} pixels",
            received=said(f"{array.shape[1]} x {array.shape[2]}"),
            fix='Arrays are not resized unless you say how: ph.images(images, fit="crop").',
        )
    return scaled(array, parameter)


def scaled(array: NDArray[Any], parameter: str) -> NDArray[np.float32]:
    """Check that pixels are bytes or floats in [0, 1], and return them as contiguous float32 in [0, 1].

    Raises
    ------
    InvalidImages
        For another dtype, values outside that range, and values that are NaN or infinite.
    """
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array, np.float32) / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        whole = array.dtype.kind in "iu"
        raise InvalidImages(
            parameter,
            allowed="floats in [0, 1], or bytes (uint8)",
            received=said(f"dtype {array.dtype}"),
            fix="Divide by the largest value that a pixel can have: 255 for 8 bits, 4095 for 12, 65535 for 16."
            if whole
            else "Convert them to floats in [0, 1].",
        )
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(np.sum(~np.isfinite(array)))
        raise InvalidImages(
            parameter,
            allowed="finite values",
            received=said(f"{count} value{'s' * (count != 1)} that {'are' if count != 1 else 'is'} NaN or infinite"),
            fix="Find where they come from: numpy.isfinite(images) shows them.",
        )
    if low < -1e-6 or high > 1 + 1e-6:
        raise InvalidImages(
            parameter,
            allowed="values in [0, 1]",
            received=said(f"values from {low:.4g} to {high:.4g}"),
            fix="Divide by 255."
            if high > 2 and low >= 0
            else "If they are normalised, say how: ph.images(images, mean=..., std=...) undoes it, since the network applies its "
            "own mean and std.",
        )
    return np.ascontiguousarray(array, np.float32)


def layout_advice(shape: tuple[int, ...], channels: int) -> str:
    """What to do about an array of this shape that is not channel-last, or has another number of channels."""
    if len(shape) >= 3 and shape[-3] == channels:
        return 'These look channel-first: ph.images(images, layout="channel-first") moves the channels.'
    if len(shape) >= 3 and shape[-1] == 1 and channels == 3:
        return "Grey images are repeated for three channels by numpy.repeat(images, 3, axis=-1)."
    if len(shape) >= 3 and shape[-1] == 4 and channels == 3:
        return "The fourth channel looks like transparency: images[..., :3] leaves it out."
    return "The layout is channel-last."


def _sizes(images: Any) -> str:
    shapes = list(dict.fromkeys(str(np.shape(image)) for image in images))
    return f"shapes {', '.join(shapes[:3])}" + (f" and {len(shapes) - 3} others" if len(shapes) > 3 else "")
