"""Colour covariance and spectrum of natural images: published values, or fitted to your own images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import floats, instance, sequence
from phosphene.types import Floats

__all__ = ["COLOUR", "ImageStatistics", "amplitudes", "colour_axes", "frequencies", "image_statistics"]

COLOUR = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the covariance of natural colours, rows R, G, B (ImageNet's, as published with lucid; Olah et al. 2017)."""

BINS = 64
"""Number of bins of a fitted spectrum, evenly spaced in the logarithm of the frequency."""


LARGEST_AMPLITUDE = 1e30
"""Largest amplitude of a coefficient: single precision holds the sum of as many as a picture has."""


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Second-order statistics of a set of images.

    Attributes
    ----------
    colour : (C, C)
        A square root of the covariance of colours: ``colour @ colour.T`` is the covariance.
    frequency : (B,)
        Frequencies in cycles per pixel, ascending.
    amplitude : (B,)
        Root mean square of the Fourier coefficients at these frequencies, in decorrelated colours, divided by their mean.
    images : int
        Number of images.
    """

    colour: Floats
    frequency: Floats
    amplitude: Floats
    images: int

    @property
    def decay(self) -> float:
        """Power of the frequency by which amplitudes decay, by least squares in the logarithm; about 1 for natural images."""
        return float(-np.polyfit(np.log(self.frequency), np.log(self.amplitude), 1)[0])

    def __repr__(self) -> str:
        digest = hashlib.blake2b(self.colour.tobytes() + self.amplitude.tobytes(), digest_size=8).hexdigest()
        return f"ImageStatistics({self.images} images, {len(self.colour)} channels, decay {self.decay:.2f}, {digest})"


def given_statistics(value: object) -> ImageStatistics | None:
    """Check an argument `statistics`.

    Raises
    ------
    InvalidParameter
        If it is neither None nor statistics of images.
    """
    if value is None:
        return None
    example = "ph.parameterizations.image_statistics(images)"
    return instance("statistics", value, ImageStatistics, "statistics of images, or None", example)


def image_statistics(images: NDArray[Any] | Iterable[ArrayLike]) -> ImageStatistics:
    """Fit the colour covariance and the spectrum of your own images, with any number of channels.

    Parameters
    ----------
    images : array-like (N, H, W, C), or an iterable of (H, W, C)
        At least two images with values in [0, 1], at least 8 pixels per side; an iterable may mix sizes.

    Returns
    -------
    ImageStatistics

    Raises
    ------
    InvalidParameter
        If images are too few, too small, of different numbers of channels, or all of one colour.

    Notes
    -----
    Spectra are computed with a Hann window, since the discontinuity between opposite borders would otherwise dominate the high
    frequencies. The statistics are described by Torralba and Oliva (2003).
    """
    pictures = [floats("images", image) for image in sequence("images", images)]
    channels = {image.shape[-1] for image in pictures if image.ndim == 3}
    if len(pictures) < 2 or len(channels) != 1 or any(min(image.shape[:2]) < 8 for image in pictures):
        raise InvalidParameter(
            "images",
            allowed="at least two images (H, W, C) of at least 8 x 8 pixels, with the same number of channels",
            received=said(_shapes_of(pictures)),
            fix="A hundred images give a smooth spectrum.",
        )
    colours = np.concatenate([image.reshape(-1, image.shape[-1]) for image in pictures])
    covariance = np.atleast_2d(np.cov(colours, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    if values.max() <= 1e-10:
        raise InvalidParameter(
            "images",
            allowed="images with more than one colour",
            received=said("images of one colour"),
            fix="Check how the images were read.",
        )
    # A colour that never varies has a scale of 0; a thousandth of the largest scale keeps the root invertible.
    roots = np.sqrt(np.maximum(values, 1e-6 * values.max()))
    order = np.argsort(-roots)
    colour = vectors[:, order] * roots[order]
    colour *= np.where(colour.sum(axis=0) < 0, -1.0, 1.0)  # the sign of an eigenvector is arbitrary
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


def _shapes_of(pictures: Sequence[Floats]) -> str:
    shapes = sorted({image.shape for image in pictures})
    listed = ", ".join(map(str, shapes[:3])) + (", ..." if len(shapes) > 3 else "")
    return f"{len(pictures)} image{'s' * (len(pictures) != 1)}" + (f" of shape {listed}" if shapes else "")


def frequencies(height: int, width: int) -> Floats:
    """Return the frequency of each coefficient of a real 2-D Fourier transform in cycles per pixel, ``(H, W // 2 + 1)``."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    found: Floats = np.hypot(rows, columns)
    return found


def amplitudes(statistics: ImageStatistics | None, height: int, width: int, power: float) -> Floats:
    """Return the amplitude of each coefficient, ``(H, W // 2 + 1)``: ``1 / f^power``, or fitted with the energy of ``1 / f``."""
    frequency = np.maximum(frequencies(height, width), 1.0 / max(height, width))
    if statistics is None:
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            return np.minimum(1.0 / frequency**power, LARGEST_AMPLITUDE)
    fitted = np.exp(np.interp(np.log(frequency), np.log(statistics.frequency), np.log(statistics.amplitude)))
    # With the total energy of a natural spectrum, the same learning rate suits both.
    natural = 1.0 / frequency
    scaled: Floats = fitted * np.sqrt(np.square(natural).sum() / np.square(fitted).sum())
    return scaled


def colour_axes(statistics: ImageStatistics | None, channels: int) -> Floats | None:
    """Return a root of the colour covariance whose longest column has length 1; None if it is unknown."""
    root = COLOUR if statistics is None and channels == 3 else None if statistics is None else statistics.colour
    if root is None:
        return None
    if len(root) != channels:
        raise InvalidParameter(
            "statistics",
            allowed=f"statistics of images with {channels} channel{'s' * (channels != 1)}",
            received=said(f"statistics of images with {len(root)}"),
            fix="Fit them with ph.parameterizations.image_statistics to images like those that the network takes.",
        )
    normed: Floats = root / np.linalg.norm(root, axis=0).max()
    return normed
