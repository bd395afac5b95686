"""Statistics of trust cards: confidence intervals, percentiles, spectral slopes, discriminability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.types import Floats

__all__ = ["discriminability", "percentiles", "spectral_slope", "wilson"]

NORMAL = 1.959964
"""Half-width of the central 95% of a normal distribution, in standard deviations."""


def wilson(hits: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """95% confidence interval of a proportion (Wilson 1927).

    Parameters
    ----------
    hits, count : array-like
        Number of successes and of trials; of shapes that broadcast.

    Returns
    -------
    low, high : numpy.ndarray
        In [0, 1]; 0 and 1 for a count of 0.
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
    """Percentage of natural values below each value; a tie counts half.

    Parameters
    ----------
    values : array-like (U,)
    natural : (U, N)
        Values of each unit on N images.

    Returns
    -------
    numpy.ndarray (U,)
        In [0, 100].
    """
    own = np.asarray(values, np.float64)[:, None]
    below: Floats = 100.0 * ((natural < own).mean(axis=1) + 0.5 * (natural == own).mean(axis=1))
    return below


def spectral_slope(image: NDArray[np.floating[Any]]) -> float:
    """Exponent a of the amplitude spectrum ``1 / f^a`` of an image's brightness, by least squares under a Hann window.

    It is about 1.2 for natural images (Field 1987). Only frequencies from 0.03 to 0.375 cycles per pixel are used, of which
    gradient ascent produces too much or too little.

    Parameters
    ----------
    image : (H, W, C)

    Returns
    -------
    float
        NaN for a constant image.
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
    """Difference of two means in pooled standard deviations, d' (Green and Swets 1966).

    Parameters
    ----------
    same, other : array-like
        Two samples.

    Returns
    -------
    float
        Positive if `same` is larger on average; NaN if a sample is empty or both are constant.
    """
    one, two = np.asarray(same, np.float64), np.asarray(other, np.float64)
    if not one.size or not two.size:
        return float("nan")
    # Variances are weighted by sample size: that of a few pairs is unreliable.
    pooled = np.sqrt((one.size * one.var() + two.size * two.var()) / (one.size + two.size))
    return float((one.mean() - two.mean()) / pooled) if pooled > 0 else float("nan")
