"""Overlays of maps on images as pixels, for pages that are made without a plotting package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.pictures import as_picture

__all__ = ["LEGEND", "coloured", "overlay"]

_STOPS = (
    (0, 0, 4),
    (28, 16, 68),
    (79, 18, 123),
    (129, 37, 129),
    (181, 54, 122),
    (229, 80, 100),
    (251, 135, 97),
    (254, 194, 135),
    (252, 253, 191),
)
"""The colour map magma at every eighth; figures use it too. It is perceptually uniform and readable by the colour-blind."""

LEGEND = f"linear-gradient(90deg, {', '.join(f'rgb{stop}' for stop in _STOPS)})"
"""The colours from 0 to 1 as a CSS background."""

_FLOOR, _SLOPE = 0.2, 0.65
"""Opacity of the map where it is 0, and its increase up to where it is 1."""


def coloured(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Colour values ``(H, W)`` in [0, 1] as ``(H, W, 3)``, from dark (0) to bright (1)."""
    stops = np.asarray(_STOPS, np.float64) / 255
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def overlay(image: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Lay a map ``(H, W)`` in [0, 1] over its image ``(H, W, C)`` in grey, as ``(H, W, 3)``; low values are transparent."""
    grey = as_picture(image).mean(axis=-1, keepdims=True)
    share = _FLOOR + _SLOPE * np.clip(values, 0, 1)[..., None]
    mixed: NDArray[np.float32] = ((1 - share) * grey + share * coloured(values)).astype(np.float32)
    return mixed
