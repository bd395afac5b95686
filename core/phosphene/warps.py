"""Affine resampling over the array API: the default of every backend, and the reference for faster ones.

A warp takes one 2x3 matrix per image that maps output to input pixel coordinates: the output pixel ``(x, y)`` reads the input
at ``(m00 x + m01 y + m02, m10 x + m11 y + m12)`` with bilinear interpolation; outside the image the value is `fill`. Matrices
are rounded on the host to multiples of 2^-12 (`exact`), so that float32 coordinates of images of up to 4096 pixels per side are
the same on every framework.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import arange
from phosphene.types import Array, Floats, Namespace, Size

__all__ = ["KINDS", "coordinates", "exact", "kind_of", "warp"]

KINDS = ("shift", "separable", "general")
"""From cheapest to most expensive: integer translations; scaling and translation along the axes; any affine map."""


def exact(matrices: NDArray[Any]) -> Floats:
    """Round to multiples of 2^-12, which float32 represents exactly."""
    rounded: Floats = np.round(np.asarray(matrices, np.float64) * 4096.0) / 4096.0
    return rounded


def kind_of(matrices: NDArray[Any]) -> str:
    """Return the cheapest of `KINDS` that covers all `matrices` ``(..., 2, 3)``."""
    linear = matrices[..., :2]
    if np.any(linear[..., 0, 1] != 0) or np.any(linear[..., 1, 0] != 0):
        return "general"
    if np.all(linear == np.eye(2)) and np.all(matrices[..., 2] == np.round(matrices[..., 2])):
        return "shift"
    return "separable"


def coordinates(xp: Namespace, matrices: Array, size: Size) -> tuple[Array, Array]:
    """Return the input coordinates ``(x, y)`` of every output pixel, each ``(N, h, w)``."""
    height, width = size
    out_x = xp.astype(arange(xp, width, matrices), matrices.dtype)[None, None, :]
    out_y = xp.astype(arange(xp, height, matrices), matrices.dtype)[None, :, None]
    m = matrices[:, :, :, None, None]
    # Each sum takes one pass over the pixels, and is exact in any order.
    x = (m[:, 0, 0, ...] * out_x + m[:, 0, 2, ...]) + m[:, 0, 1, ...] * out_y
    y = m[:, 1, 0, ...] * out_x + (m[:, 1, 1, ...] * out_y + m[:, 1, 2, ...])
    return x, y


def warp(xp: Namespace, images: Array, matrices: Array, size: Size, *, fill: float, kind: str = "general") -> Array:
    """Resample each image by its own affine map.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of `images`.
    images : Array (N, H, W, C)
        Any values.
    matrices : Array (N, 2, 3)
        Map output to input pixel coordinates.
    size : (int, int)
        Height and width of the output.
    fill : float
        Value outside the image.
    kind : str, default "general"
        One of `KINDS`, to which all matrices must belong: the result is wrong for a matrix of another kind.

    Returns
    -------
    Array (N, h, w, C)
    """
    if kind == "shift":
        return _shift(xp, images, matrices, size, fill)
    if kind == "separable":
        return _separable(xp, images, matrices, size, fill)
    return _general(xp, images, matrices, size, fill)


def _general(xp: Namespace, images: Array, matrices: Array, size: Size, fill: float) -> Array:
    count, height, width, channels = images.shape
    x, y = coordinates(xp, matrices, size)
    left, top = xp.floor(x), xp.floor(y)
    right_weight, bottom_weight = (x - left)[..., None], (y - top)[..., None]
    flat = xp.reshape(images - fill, (count * height * width, channels))
    offset = arange(xp, count, matrices)[:, None, None] * (height * width)
    result = fill
    for dy, weight_y in ((0, 1 - bottom_weight), (1, bottom_weight)):
        for dx, weight_x in ((0, 1 - right_weight), (1, right_weight)):
            row, column = top + dy, left + dx
            inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
            row = xp.astype(xp.clip(row, 0, height - 1), offset.dtype)
            column = xp.astype(xp.clip(column, 0, width - 1), offset.dtype)
            values = flat[offset + row * width + column]
            result = result + weight_y * weight_x * xp.astype(inside, images.dtype)[..., None] * values
    return result


def _separable(xp: Namespace, images: Array, matrices: Array, size: Size, fill: float) -> Array:
    """Two products with matrices of hat functions: dense, but as fast as a matrix product and without a scatter."""
    count, height, width, channels = images.shape
    rows = _hats(xp, matrices[:, 1, 1], matrices[:, 1, 2], size[0], height)
    columns = _hats(xp, matrices[:, 0, 0], matrices[:, 0, 2], size[1], width)
    centred = xp.reshape(images - fill, (count, height, width * channels))
    tall = xp.reshape(xp.matmul(rows, centred), (count, size[0], width, channels))
    return xp.matmul(columns[:, None], tall) + fill


def _hats(xp: Namespace, scale: Array, offset: Array, outputs: int, inputs: int) -> Array:
    position = scale[:, None] * xp.astype(arange(xp, outputs, scale), scale.dtype)[None, :] + offset[:, None]
    distance = xp.abs(position[:, :, None] - xp.astype(arange(xp, inputs, scale), scale.dtype)[None, None, :])
    return xp.where(distance < 1, 1 - distance, xp.zeros_like(distance))


def _shift(xp: Namespace, images: Array, matrices: Array, size: Size, fill: float) -> Array:
    count, height, width, _ = images.shape
    rows = arange(xp, count, matrices)[:, None, None]
    y = arange(xp, size[0], matrices)[None, :] + xp.astype(matrices[:, 1, 2], rows.dtype)[:, None]
    x = arange(xp, size[1], matrices)[None, :] + xp.astype(matrices[:, 0, 2], rows.dtype)[:, None]
    inside_y = xp.astype((y >= 0) & (y < height), images.dtype)[:, :, None, None]
    inside_x = xp.astype((x >= 0) & (x < width), images.dtype)[:, None, :, None]
    values = (images - fill)[rows, xp.clip(y, 0, height - 1)[:, :, None], xp.clip(x, 0, width - 1)[:, None, :]]
    return values * inside_y * inside_x + fill
