"""What a layer should hold, and the comparison with what phosphene reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Seen", "differs"]


@dataclass(frozen=True)
class Seen:
    """What a module returned, as the framework has it.

    Attributes
    ----------
    kind : str
        Class name of the module.
    value : array
        In the framework's layout, with the batch axis.
    axis : int or None
        The channel axis, if the class of the module fixes it.
    """

    kind: str
    value: NDArray[Any]
    axis: int | None


def differs(read: NDArray[Any], seen: Seen, windows: int) -> str:
    """In which way a layer (1, ..., C) that was read is not what a module returned; an empty string if it is."""
    flat = read.reshape(-1, *read.shape[2:]) if windows > 1 else read
    shapes = []
    for value in _channel_last(seen):
        shapes.append(value.shape)
        if value.shape == flat.shape and np.allclose(
            value, flat, rtol=1e-3, atol=1e-3 * _largest(value), equal_nan=True
        ):
            return ""
    if flat.shape not in shapes:
        return f"shape {flat.shape} instead of {shapes[0]}"
    return "other values"


def _channel_last(seen: Seen) -> Iterator[NDArray[Any]]:
    """Yield what the layer may look like: with the channel axis moved to the end, and an axis of one image to the front."""
    value = seen.value if seen.value.ndim > 1 else seen.value.reshape(-1, 1)
    axes = [seen.axis] if seen.axis is not None and value.ndim > 2 else list(range(1, value.ndim))
    for axis in axes:
        yield np.moveaxis(value, axis, -1)
    if value.ndim > 2 and value.shape[1] == 1:  # the batch is behind another axis
        swapped = np.moveaxis(value, 1, 0)
        for axis in range(1, value.ndim):
            yield np.moveaxis(swapped, axis, -1)


def _largest(value: NDArray[Any]) -> float:
    finite = np.abs(value[np.isfinite(value)])
    return float(finite.max()) if finite.size else 0.0
