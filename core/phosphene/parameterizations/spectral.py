"""The Fourier parameterization: coefficients scaled as in natural images, in decorrelated colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import complex_of, sigmoid
from phosphene.kit.checks import boolean, number
from phosphene.parameterizations.contract import Canvas, Parameterization
from phosphene.parameterizations.statistics import (
    ImageStatistics,
    amplitudes,
    colour_axes,
    frequencies,
    given_statistics,
)
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
        # Real and imaginary parts (2, C, H, W // 2 + 1), as contiguous planes: Fourier transforms run along the last axes, and
        # interleaved values would have to be gathered before each transform.
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
            # The batch shares one value per low frequency, so that the gradients of all pictures act on it.
            parameters = parameters + low * (xp.mean(parameters, axis=0, keepdims=True) - parameters)
        scaled = parameters * scale
        values = inverse_transform(xp, complex_of(xp, scaled[:, 0, ...], scaled[:, 1, ...]), colours, canvas)
        return xp.moveaxis(sigmoid(xp, values), 1, -1)

    def encode(self, image: Floats) -> Floats:
        canvas = (image.shape[0], image.shape[1], image.shape[2])
        scale, colours, _ = self.constants(canvas)
        # The sigmoid never reaches 0 and 1, and values close to them would need very large coefficients.
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
    """Fourier coefficients scaled as in natural images, in a decorrelated colour space (Olah et al. 2017).

    Parameters
    ----------
    decay : float, default 1
        Power of the frequency by which coefficients decay, at least 0: 0 is white noise, 1 natural; larger is smoother.
    decorrelate : bool, default True
        Whether to use the colour axes of natural images; for other than three channels this needs `statistics`.
    spread : float, default 0.01
        Standard deviation of the initial coefficients, at least 0.
    statistics : ImageStatistics, optional
        Colours and spectrum of your own images (`phosphene.parameterizations.image_statistics`), in place of ImageNet's colours
        and of `decay`.
    shared : float, default 0
        Frequencies below this one, in cycles per pixel from 0 to 0.5, are shared by all pictures of a call, which are then
        computed in one batch: pictures with the same coarse layout and different details (Mordvintsev et al. 2018).

    Returns
    -------
    Parameterization

    Raises
    ------
    InvalidParameter
        If `decay` or `spread` is negative, or `shared` is outside [0, 0.5].
    """
    return Fourier(
        number("decay", decay, minimum=0.0),
        boolean("decorrelate", decorrelate),
        number("spread", spread, minimum=0.0, example=0.01),
        given_statistics(statistics),
        number("shared", shared, minimum=0.0, maximum=0.5, example=0.05),
    )


def fourier_basis(height: int, width: int, power: float, statistics: ImageStatistics | None = None) -> Floats:
    """Return the scale of each coefficient of a real 2-D Fourier transform, ``(H, W // 2 + 1)``.

    It is ``sqrt(HW) / max(f, 1 / max(H, W))^power / 4`` with the frequency f in cycles per pixel; with `statistics`, their
    spectrum replaces the power. The factor 1/4 and the sigmoid bring the first steps of Adam with a learning rate of 0.05 into
    the range in which the image changes.
    """
    scale: Floats = math.sqrt(height * width) * amplitudes(statistics, height, width, power) / 4.0
    return scale


def inverse_transform(xp: Namespace, spectrum: Array, colours: Array | None, canvas: Canvas) -> Array:
    """Return the planes ``(N, C, H, W)`` of a spectrum, with colours mixed by the axes `colours` if given."""
    height, width, channels = canvas
    values = xp.fft.irfftn(spectrum, s=(height, width), axes=(2, 3))
    if colours is None:
        return values
    mixed = xp.matmul(colours, xp.reshape(values, (-1, channels, height * width)))
    return xp.reshape(mixed, (-1, channels, height, width))
