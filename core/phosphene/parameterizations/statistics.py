"""What natural images have in common, colour by colour and frequency by frequency: given, or fitted to images of your own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["COLOUR", "ImageStatistics", "amplitudes", "colour_axes", "frequencies", "image_statistics"]

COLOUR = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the covariance of natural colours, rows R, G, B (ImageNet's, as published with lucid; Olah et al. 2017)."""

BINS = 64
"""Of the spectrum that is fitted, evenly spaced in the logarithm of the frequency."""


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Second-order statistics of a set of images.

    Attributes
    ----------
    colour : (C, C)
        A square root of the covariance of colours: ``colour @ colour.T`` is the covariance.
    frequency : (B,)
        In cycles a pixel, rising.
    amplitude : (B,)
        Root mean square of the Fourier coefficients at these frequencies, colours decorrelated, relative to their mean.
    images : int
        How many they are of.
    """

    colour: Floats
    frequency: Floats
    amplitude: Floats
    images: int

    @property
    def decay(self) -> float:
        """Power of the frequency by which amplitudes fall, by least squares over octaves; natural images have about 1."""
        return float(-np.polyfit(np.log(self.frequency), np.log(self.amplitude), 1)[0])

    def __repr__(self) -> str:
        digest = hashlib.blake2b(self.colour.tobytes() + self.amplitude.tobytes(), digest_size=8).hexdigest()
        return f"ImageStatistics({self.images} images, {len(self.colour)} channels, decay {self.decay:.2f}, {digest})"


def image_statistics(images: NDArray[Any] | Iterable[ArrayLike]) -> ImageStatistics:
    """The colour covariance and the spectrum of your own images, with any number of channels.

    Parameters
    ----------
    images : array-like (N, H, W, C), or an iterable of (H, W, C)
        In [0, 1], at least two, at least 8 pixels a side; of any sizes where they come one by one.

    Returns
    -------
    ImageStatistics

    Raises
    ------
    InvalidParameter
        For fewer images, smaller ones, ones of unlike channels, or ones that do not vary.

    Notes
    -----
    Amplitudes are read under a Hann window: without it the jump from one border to the other fills the high frequencies
    (Torralba and Oliva 2003 describe the statistics themselves).
    """
    pictures = [np.asarray(image, np.float64) for image in images]
    channels = {image.shape[-1] for image in pictures if image.ndim == 3}
    if len(pictures) < 2 or len(channels) != 1 or any(min(image.shape[:2]) < 8 for image in pictures):
        raise InvalidParameter(
            "images", allowed="at least two images (H, W, C) of 8 pixels a side, with as many channels each",
            received=said(f"{len(pictures)} of shapes {sorted({image.shape for image in pictures})[:3]}"),
            fix="More images give a smoother spectrum; a hundred are plenty.",
        )  # fmt: skip
    colours = np.concatenate([image.reshape(-1, image.shape[-1]) for image in pictures])
    covariance = np.atleast_2d(np.cov(colours, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    if values.max() <= 1e-10:
        raise InvalidParameter("images", allowed="images that vary", received=said("all of one colour"), fix="")
    # A colour that never varies has no scale of its own; a thousandth of the largest keeps the root invertible.
    roots = np.sqrt(np.maximum(values, 1e-6 * values.max()))
    order = np.argsort(-roots)
    colour = vectors[:, order] * roots[order]
    colour *= np.where(colour.sum(axis=0) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
    edges = np.geomspace(1 / 256, np.sqrt(0.5), BINS + 1)
    power, count = np.zeros(BINS), np.zeros(BINS)
    for image in pictures:
        height, width = image.shape[:2]
        window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
        white = (image - image.mean(axis=(0, 1))) @ np.linalg.inv(colour).T
        spectrum = np.abs(np.fft.rfft2(white * window[..., None], axes=(0, 1))) ** 2 / np.square(window).sum()
        place = np.searchsorted(edges, frequencies(height, width)) - 1
        inside = (place >= 0) & (place < BINS) & (frequencies(height, width) > 0)
        np.add.at(power, place[inside], spectrum[inside].mean(axis=-1))
        np.add.at(count, place[inside], 1)
    filled = count > 0
    centres = np.sqrt(edges[1:] * edges[:-1])[filled]
    amplitude = np.sqrt(np.maximum(power[filled] / count[filled], 1e-20))
    return ImageStatistics(colour, centres, amplitude / amplitude.mean(), len(pictures))


def frequencies(height: int, width: int) -> Floats:
    """Of each coefficient of a real 2-D transform, in cycles a pixel, ``(H, W // 2 + 1)``."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    found: Floats = np.hypot(rows, columns)
    return found


def amplitudes(statistics: ImageStatistics | None, height: int, width: int, power: float) -> Floats:
    """Amplitude of each coefficient, ``(H, W // 2 + 1)``: ``1 / f^power``, or as fitted and in all as strong as ``1 / f``."""
    frequency = np.maximum(frequencies(height, width), 1.0 / max(height, width))
    if statistics is None:
        return 1.0 / frequency**power
    fitted = np.exp(np.interp(np.log(frequency), np.log(statistics.frequency), np.log(statistics.amplitude)))
    # As strong in all as a natural spectrum: a learning rate then means the same with either.
    natural = 1.0 / frequency
    scaled: Floats = fitted * np.sqrt(np.square(natural).sum() / np.square(fitted).sum())
    return scaled


def colour_axes(statistics: ImageStatistics | None, channels: int) -> Floats | None:
    """The root of the colours' covariance, its longest column of length 1; None where nothing is known of them."""
    root = COLOUR if statistics is None and channels == 3 else None if statistics is None else statistics.colour
    if root is None:
        return None
    if len(root) != channels:
        raise InvalidParameter(
            "statistics", allowed=f"statistics of images of {channels} channels", received=said(f"{len(root)} channels"),
            fix="Fit them to images like those that the network takes.",
        )  # fmt: skip
    normed: Floats = root / np.linalg.norm(root, axis=0).max()
    return normed
