"""Backward rules for rectified linear units, written once.

A rule sees the pre-activation `x` and the gradient `g` that arrives (ascent's sign: positive pushes the unit up), both
channel-last, and a `gate` ``(N,)``; it returns the gradient that goes on and, per row, whether it acted.
"""

from __future__ import annotations

from dataclasses import dataclass

from phosphene.arrays import expand, surely_none
from phosphene.types import Array, Namespace

__all__ = ["Deconvolution", "Guided", "Redirected"]


@dataclass(frozen=True)
class Redirected:
    """Wake units whose gradient is dead everywhere, and leave every other row exactly as it is.

    Where no position of a row would pass any gradient, the gradient is let through closed units, weighted by a spatial
    softmax of the pre-activation, so that the position nearest to firing is pushed first. lucid's redirected ReLU (Olah et
    al. 2017) lets it through everywhere alike, which moves all positions a little and often none of them enough.

    Attributes
    ----------
    sharpness : float, default 4
        Inverse temperature of the softmax, in units of the pre-activation's own standard deviation.
    """

    sharpness: float = 4.0

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]:
        zero = xp.zeros_like(g)
        standard = xp.where(x > 0, g, zero)
        axes = tuple(range(1, x.ndim))
        silent = (xp.max(xp.abs(standard), axis=axes) == 0) & (gate > 0)
        if surely_none(silent):  # as in most layers of most steps
            return standard, xp.astype(silent, g.dtype)
        used = xp.astype(silent & (xp.max(xp.abs(g), axis=axes) > 0), g.dtype)
        useful = xp.where((x <= 0) & (g < 0), zero, g)
        redirected = useful * self._nearest_first(xp, x, g) if x.ndim > 2 else useful
        return xp.where(expand(xp, used, g) > 0, redirected, standard), used

    def _nearest_first(self, xp: Namespace, x: Array, g: Array) -> Array:
        # Only where a gradient arrives: what a neuron does not see has no say in which of its positions is the nearest.
        positions = tuple(range(1, x.ndim - 1))
        asked = xp.abs(g) > 0
        mask = xp.astype(asked, x.dtype)
        count = xp.sum(mask, axis=positions, keepdims=True)
        spread = xp.sqrt(xp.sum(x * x * mask, axis=positions, keepdims=True) / (count + 1e-12) + 1e-12)
        lowest = xp.min(x, axis=positions, keepdims=True)
        peak = xp.max(xp.where(asked, x, lowest), axis=positions, keepdims=True)
        # Elsewhere x may be far above the peak, and 0 times infinity is no number.
        weight = mask * xp.exp(self.sharpness * xp.where(asked, x - peak, xp.zeros_like(x)) / spread)
        return weight / (xp.sum(weight, axis=positions, keepdims=True) + 1e-12) * count


@dataclass(frozen=True)
class Guided:
    """Pass a gradient only where both it and the pre-activation are positive (Springenberg et al. 2015)."""

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]:
        return xp.where((x > 0) & (g > 0), g, xp.zeros_like(g)), xp.ones_like(gate)


@dataclass(frozen=True)
class Deconvolution:
    """Pass a gradient where it is positive, whatever the pre-activation was (Zeiler and Fergus 2014)."""

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]:
        return xp.where(g > 0, g, xp.zeros_like(g)), xp.ones_like(gate)
