"""Images by their Fourier coefficients, scaled like those of natural images, in decorrelated colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import sigmoid
from phosphene.errors import InvalidParameter
from phosphene.parameterizations.contract import Canvas, Parameterization, spread_of
from phosphene.parameterizations.statistics import ImageStatistics, amplitudes, colour_axes, frequencies
from phosphene.types import Array, Floats, Namespace, Tree

__all__ = ["fourier", "fourier_basis", "inverse_transform"]


@dataclass(frozen=True)
class Fourier(Parameterization):
    power: float
    decorrelate: bool
    spread: float
    statistics: ImageStatistics | None = None
    shared: float = 0.0

    @property
    def together(self) -> bool:  # type: ignore[override]
        return self.shared > 0

    def initial(self, random: np.random.Generator, canvas: Canvas) -> Floats:
        # Real and imaginary parts (2, C, H, W // 2 + 1): whole planes, channel-first. Transforms run along the last axes, and
        # what is interleaved would have to be gathered before each of them.
        height, width, channels = canvas
        drawn = random.standard_normal((height, width // 2 + 1, channels, 2))
        return self.spread * np.ascontiguousarray(drawn.transpose(3, 2, 0, 1))

    def constants(self, canvas: Canvas) -> Tree:
        height, width, channels = canvas
        scale = fourier_basis(height, width, self.power, self.statistics)
        colours = colour_axes(self.statistics, channels) if self.decorrelate else None
        low = (frequencies(height, width) < self.shared).astype(np.float64) if self.shared else None
        return scale, colours, low

    def decode(self, xp: Namespace, parameters: Array, constants: Tree, canvas: Canvas) -> Array:
        scale, colours, low = constants
        if low is not None:
            # One value for the whole batch: what is asked of any picture there is asked of all.
            parameters = parameters + low * (xp.mean(parameters, axis=0, keepdims=True) - parameters)
        scaled = parameters * scale
        values = inverse_transform(xp, scaled[:, 0, ...] + 1j * scaled[:, 1, ...], colours, canvas)
        return xp.moveaxis(sigmoid(xp, values), 1, -1)

    def encode(self, image: Floats) -> Floats:
        canvas = (image.shape[0], image.shape[1], image.shape[2])
        scale, colours, _ = self.constants(canvas)
        # The sigmoid never reaches 0 and 1: what is given is brought as near as does not blow the coefficients up.
        within = np.clip(np.asarray(image, np.float64), 1 / 256, 255 / 256)
        planes = np.moveaxis(np.log(within / (1 - within)), -1, 0)
        if colours is not None:
            planes = np.tensordot(np.linalg.inv(colours), planes, 1)
        spectrum = np.fft.rfft2(planes) / scale
        return np.stack([spectrum.real, spectrum.imag])


def fourier(
    decay: float = 1.0,
    decorrelate: bool = True,
    spread: float = 0.01,
    *,
    statistics: ImageStatistics | None = None,
    shared: float = 0.0,
) -> Parameterization:
    """Fourier coefficients scaled like natural images, in a decorrelated colour space (Olah et al. 2017).

    Parameters
    ----------
    decay : float, default 1
        Power of the frequency by which coefficients fall: 0 is white, 1 natural, more is smoother.
    decorrelate : bool, default True
        Whether colour axes are those of natural images; images that have not three channels are only with `statistics`.
    spread : float, default 0.01
        Standard deviation of the initial coefficients.
    statistics : ImageStatistics, optional
        Colours and spectrum of images of your own (`phosphene.image_statistics`), in place of ImageNet's colours and of `decay`.
    shared : float, default 0
        Frequencies below it, in cycles a pixel, are one for all pictures of a call, which then are computed in one batch:
        the same coarse layout, told apart by detail (Mordvintsev et al. 2018).

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        When `decay` or `spread` is negative, or `shared` is outside [0, 0.5].
    """
    if not 0 <= decay < math.inf:
        raise InvalidParameter(
            "decay", allowed="a number of at least 0", received=decay, fix="Natural images have about 1."
        )
    if not 0 <= shared <= 0.5:
        raise InvalidParameter(
            "shared",
            allowed="0 to 0.5 cycles a pixel",
            received=shared,
            fix="0.05 shares what is wider than 20 pixels.",
        )
    return Fourier(float(decay), bool(decorrelate), spread_of(spread), statistics, float(shared))


def fourier_basis(height: int, width: int, power: float, statistics: ImageStatistics | None = None) -> Floats:
    """Scale of each coefficient of a real 2-D transform, ``(H, W // 2 + 1)``: ``sqrt(HW) / max(f, 1 / max(H, W))^power / 4``.

    With f in cycles a pixel. The quarter, and the sigmoid after it, put the first steps of Adam at 0.05 into the range where
    the image answers. With `statistics`, their spectrum stands in place of the power.
    """
    scale: Floats = math.sqrt(height * width) * amplitudes(statistics, height, width, power) / 4.0
    return scale


def inverse_transform(xp: Namespace, spectrum: Array, colours: Array | None, canvas: Canvas) -> Array:
    """Planes ``(N, C, H, W)`` of a spectrum, their colours mixed where the axes of these are given."""
    height, width, channels = canvas
    values = xp.fft.irfftn(spectrum, s=(height, width), axes=(2, 3))
    if colours is None:
        return values
    mixed = xp.matmul(colours, xp.reshape(values, (-1, channels, height * width)))
    return xp.reshape(mixed, (-1, channels, height, width))
