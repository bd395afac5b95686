"""Affine resampling in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from phosphene import warps
from phosphene.types import Array, Size

__all__ = ["warp"]


def warp(images: Array, matrices: Array, size: Size, *, fill: float, kind: str) -> Array:
    """See `phosphene.warps.warp`; the general kind uses ``map_coordinates``.

    On a CPU it is faster than the default for small images (2.8 versus 3.9 ms for 16 images of 64 x 64 pixels, forward and
    backward) and slower for large ones (33 versus 25 ms for 8 images of 224 x 224 pixels).
    """
    if kind != "general":
        return warps.warp(jnp, images, matrices, size, fill=fill, kind=kind)
    x, y = warps.coordinates(jnp, matrices, size)

    def channel(plane: Array, rows: Array, columns: Array) -> Array:
        return jax.scipy.ndimage.map_coordinates(plane, [rows, columns], order=1, mode="constant", cval=fill)

    over_channels = jax.vmap(channel, in_axes=(-1, None, None), out_axes=-1)
    return jax.vmap(over_channels)(images, y, x)
