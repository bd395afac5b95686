"""The arithmetic of trust: shares with their intervals, spectral slopes, discriminability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.types import Floats

__all__ = ["discriminability", "percentiles", "spectral_slope", "wilson"]

NORMAL = 1.959964
"""Standard deviations that hold 95% of a normal distribution."""


def wilson(hits: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """Interval of 95% of a share (Wilson 1927).

    Parameters
    ----------
    hits, count : array-like
        How many of how many; of one shape, or such that broadcast.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        Low and high, in [0, 1]; 0 and 1 where the count is 0.
    """
    total = np.asarray(count, np.float64)
    safe = np.maximum(total, 1.0)
    share = np.asarray(hits, np.float64) / safe
    spread = NORMAL**2 / safe
    middle = (share + spread / 2) / (1 + spread)
    half = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return np.where(total > 0, low, 0.0), np.where(total > 0, high, 1.0)


def percentiles(values: ArrayLike, natural: Floats) -> Floats:
    """Share of natural values that lie below each value, in percent; a tie counts half.

    Parameters
    ----------
    values : array-like (U,)
    natural : (U, N)
        What each unit gave for N images.

    Returns
    -------
    numpy.ndarray (U,)
        In [0, 100].
    """
    own = np.asarray(values, np.float64)[:, None]
    below: Floats = 100.0 * ((natural < own).mean(axis=1) + 0.5 * (natural == own).mean(axis=1))
    return below


def spectral_slope(image: NDArray[np.floating[Any]]) -> float:
    """Power of the frequency by which the amplitudes of an image's brightness fall, by least squares under a Hann window.

    Natural images have about 1.2 (Field 1987). Frequencies from 0.03 to 0.375 cycles a pixel are looked at, those of which an
    ascent makes too much or too little.

    Parameters
    ----------
    image : (H, W, C)

    Returns
    -------
    float
        NaN for an image without contrast.
    """
    grey = image.mean(axis=-1).astype(np.float64)
    if not np.ptp(grey) > 0:
        return float("nan")
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])[None]
    amplitude = np.abs(np.fft.rfft2((grey - grey.mean()) * window))
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None])
    inside = (frequency > 0.03) & (frequency < 0.375)
    return float(-np.polyfit(np.log(frequency[inside]), np.log(amplitude[inside] + 1e-9), 1)[0])


def discriminability(same: ArrayLike, other: ArrayLike) -> float:
    """By how many standard deviations two kinds of figures lie apart, d' (Green and Swets 1966).

    Parameters
    ----------
    same, other : array-like
        Figures of each kind, in any order.

    Returns
    -------
    float
        Positive where `same` is larger on average; NaN where one is empty, or there is no spread at all.
    """
    one, two = np.asarray(same, np.float64), np.asarray(other, np.float64)
    if not one.size or not two.size:
        return float("nan")
    # A handful of pairs has no spread to speak of: kinds are weighed by how many figures they have.
    pooled = np.sqrt((one.size * one.var() + two.size * two.var()) / (one.size + two.size))
    return float((one.mean() - two.mean()) / pooled) if pooled > 0 else float("nan")
