"""Validation of images: shape, dtype, range and NaN, before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import InputSpec
from phosphene.errors import InvalidImages, refuse_foreign, said
from phosphene.types import Size

__all__ = ["check_images"]


def check_images(
    images: Any, spec: InputSpec, *, parameter: str = "images", size: Size | None = None
) -> NDArray[np.float32]:
    """Check images, and return them as float32 ``(N, H, W, C)``.

    Parameters
    ----------
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
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
    MixedBackends
        For an array of a framework other than NumPy.
    """
    refuse_foreign(images, parameter)
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise InvalidImages(
            parameter, allowed="images of one size", received=said(_sizes(images)), fix="Resize or crop them first."
        ) from error
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] != spec.channels or 0 in array.shape:
        channel_first = array.ndim == 4 and array.shape[1] == spec.channels
        raise InvalidImages(
            parameter,
            allowed=f"shape (N, H, W, {spec.channels}) or (H, W, {spec.channels})",
            received=said(f"shape {np.asarray(images).shape}"),
            fix="These look channel-first: use numpy.moveaxis(images, 1, -1)."
            if channel_first
            else "The layout is channel-last.",
        )
    if size is not None and array.shape[1:3] != tuple(size):
        raise InvalidImages(
            parameter,
            allowed=f"images of {size[0]} x {size[1]} pixels",
            received=said(f"{array.shape[1]} x {array.shape[2]}"),
            fix="Resize or crop them first.",
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidImages(
            parameter,
            allowed="floats in [0, 1]",
            received=said(f"dtype {array.dtype}"),
            fix="Convert bytes by images.astype('float32') / 255.",
        )
    if not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(array)))
        raise InvalidImages(
            parameter,
            allowed="finite values",
            received=said(f"{count} value{'s' * (count != 1)} that {'are' if count != 1 else 'is'} NaN or infinite"),
            fix="Find where they come from: numpy.isfinite(images) shows them.",
        )
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise InvalidImages(
            parameter,
            allowed="values in [0, 1]",
            received=said(f"values from {low:.4g} to {high:.4g}"),
            fix="Divide by 255."
            if high > 2 and low >= 0
            else "Undo the normalisation: the network applies mean and std itself.",
        )
    return np.ascontiguousarray(array, np.float32)


def _sizes(images: Any) -> str:
    shapes = list(dict.fromkeys(str(np.shape(image)) for image in images))
    return f"shapes {', '.join(shapes[:3])}" + (f" and {len(shapes) - 3} others" if len(shapes) > 3 else "")
