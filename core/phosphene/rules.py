"""Backward rules for rectified linear units.

A rule is a function of the pre-activation `x` and the incoming gradient `g` (of gradient ascent: a positive gradient raises the
unit), both channel-last, and of a `gate` ``(N,)``. It returns the outgoing gradient and, per row, whether the rule was used.
"""

from __future__ import annotations

from dataclasses import dataclass

from phosphene.arrays import expand, surely_none
from phosphene.types import Array, Namespace

__all__ = ["Deconvolution", "Guided", "Redirected"]


@dataclass(frozen=True)
class Redirected:
    """Pass a gradient through rectifiers that are closed at every position; leave all other rows unchanged.

    If no position of a row passes any gradient, the gradient passes the closed units, weighted by a spatial softmax of the
    pre-activation, so that the position closest to firing moves first. The redirected ReLU of lucid (Olah et al. 2017) passes
    the gradient equally at all positions, which moves all of them a little and often none of them enough.

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
        if surely_none(silent):  # true for most layers at most steps
            return standard, xp.astype(silent, g.dtype)
        used = xp.astype(silent & (xp.max(xp.abs(g), axis=axes) > 0), g.dtype)
        useful = xp.where((x <= 0) & (g < 0), zero, g)
        redirected = useful * self._nearest_first(xp, x, g) if x.ndim > 2 else useful
        return xp.where(expand(xp, used, g) > 0, redirected, standard), used

    def _nearest_first(self, xp: Namespace, x: Array, g: Array) -> Array:
        # Only positions with a gradient count: those that the objective does not see must not win the softmax.
        positions = tuple(range(1, x.ndim - 1))
        asked = xp.abs(g) > 0
        mask = xp.astype(asked, x.dtype)
        count = xp.sum(mask, axis=positions, keepdims=True)
        spread = xp.sqrt(xp.sum(x * x * mask, axis=positions, keepdims=True) / (count + 1e-12) + 1e-12)
        lowest = xp.min(x, axis=positions, keepdims=True)
        peak = xp.max(xp.where(asked, x, lowest), axis=positions, keepdims=True)
        # At the other positions x may be far above the peak, and 0 times infinity is NaN.
        weight = mask * xp.exp(self.sharpness * xp.where(asked, x - peak, xp.zeros_like(x)) / spread)
        return weight / (xp.sum(weight, axis=positions, keepdims=True) + 1e-12) * count


@dataclass(frozen=True)
class Guided:
    """Guided backpropagation: pass a gradient where it and the pre-activation are positive (Springenberg et al. 2015)."""

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]:
        return xp.where((x > 0) & (g > 0), g, xp.zeros_like(g)), xp.ones_like(gate)


@dataclass(frozen=True)
class Deconvolution:
    """Deconvolution: pass a gradient where it is positive, whatever the pre-activation (Zeiler and Fergus 2014)."""

    def __call__(self, xp: Namespace, x: Array, g: Array, gate: Array) -> tuple[Array, Array]:
        return xp.where(g > 0, g, xp.zeros_like(g)), xp.ones_like(gate)
