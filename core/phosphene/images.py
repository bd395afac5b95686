"""Images at the door: shape, dtype, range and NaN are checked here, once, before anything is computed."""

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
    """Images as float32 ``(N, H, W, C)``, or an error that says what is wrong with them.

    Parameters
    ----------
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    spec : InputSpec
        What the network takes.
    parameter : str, default "images"
        Name for messages.
    size : (int, int), optional
        The only height and width allowed.

    Returns
    -------
    numpy.ndarray (N, H, W, C)

    Raises
    ------
    InvalidImages
        For another shape, dtype or range, and for NaN.
    MixedBackends
        For an array of a framework instead of NumPy's.
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
            else "Layout is channel-last.",
        )
    if size is not None and array.shape[1:3] != tuple(size):
        raise InvalidImages(
            parameter, allowed=f"images of {size[0]} x {size[1]} pixels",
            received=said(f"{array.shape[1]} x {array.shape[2]}"), fix="Resize or crop them first.",
        )  # fmt: skip
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidImages(
            parameter, allowed="floats in [0, 1]", received=said(f"dtype {array.dtype}"),
            fix="For bytes write images.astype('float32') / 255.",
        )  # fmt: skip
    if not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(array)))
        raise InvalidImages(
            parameter, allowed="finite values", received=said(f"{count} values that are NaN or infinite"),
            fix="numpy.nan_to_num would hide them; find where they come from.",
        )  # fmt: skip
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise InvalidImages(
            parameter, allowed="values in [0, 1]", received=said(f"values from {low:.4g} to {high:.4g}"),
            fix="Divide by 255." if high > 2 and low >= 0 else "Undo the normalisation: mean and std are applied by the network.",
        )  # fmt: skip
    return np.ascontiguousarray(array, np.float32)


def _sizes(images: Any) -> str:
    shapes = list(dict.fromkeys(str(np.shape(image)) for image in images))
    return f"shapes {', '.join(shapes[:3])}" + (f" and {len(shapes) - 3} others" if len(shapes) > 3 else "")
