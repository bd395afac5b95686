"""Backward rules for rectified linear units.

A rule is a function of the pre-activation `x` and the incoming gradient `g` (of gradient ascent: a positive gradient raises the
unit), both channel-last, of a `gate` ``(N,)``, and of the `Rectifier`. It returns the outgoing gradient and, per row, whether the
rule was used.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from phosphene.arrays import expand, surely_none
from phosphene.types import Array, Namespace

__all__ = ["Deconvolution", "Guided", "Rectifier", "Redirected", "acts_by_row", "with_ceilings"]


@dataclass(frozen=True)
class Rectifier:
    """A rectified linear unit ``min(max(x, 0), ceiling)``, and what its framework takes for its derivative at the two kinks.

    Attributes
    ----------
    ceiling : float, default infinity
        Largest value; 6 for ReLU6.
    at_zero, at_ceiling : float, default 0
        Derivative at ``x == 0`` and at ``x == ceiling``. Frameworks differ: that of a ReLU is 0, that of a clamp 1, and that of a
        maximum 0.5.
    """

    ceiling: float = math.inf
    at_zero: float = 0.0
    at_ceiling: float = 0.0

    @property
    def name(self) -> str:
        """The name under which it is counted: "relu", "relu6" or "clipped relu"."""
        return {math.inf: "relu", 6.0: "relu6"}.get(self.ceiling, "clipped relu")

    @property
    def clipped(self) -> bool:
        """Whether it has a ceiling."""
        return self.ceiling != math.inf

    def is_open(self, xp: Namespace, x: Array) -> Array:
        """Where the unit is between its kinks, so that it follows its pre-activation."""
        return (x > 0) & (x < self.ceiling) if self.clipped else x > 0

    def standard(self, xp: Namespace, x: Array, g: Array) -> Array:
        """The gradient of the framework itself."""
        lower = x >= 0 if self.at_zero == 1 else x > 0
        result = xp.where(lower & self._below(x) if self.clipped else lower, g, xp.zeros_like(g))
        if self.at_zero not in (0, 1):
            result = xp.where(x == 0, self.at_zero * g, result)
        if self.clipped and self.at_ceiling not in (0, 1):
            result = xp.where(x == self.ceiling, self.at_ceiling * g, result)
        return result

    def _below(self, x: Array) -> Array:
        return x <= self.ceiling if self.at_ceiling == 1 else x < self.ceiling

    def distance(self, xp: Namespace, x: Array) -> Array:
        """How far a closed unit is from opening, negated: `x` below zero, ``ceiling - x`` above the ceiling."""
        return xp.where(x < 0.5 * self.ceiling, x, self.ceiling - x) if self.clipped else x


RELU = Rectifier()
"""The usual unit: no ceiling, derivative 0 at 0."""


@dataclass(frozen=True)
class Redirected:
    """Pass a gradient through rectifiers that are closed at every position; leave all other rows unchanged.

    If no position of a row passes any gradient, the gradient passes the closed units, weighted by a spatial softmax of the
    pre-activation, so that the position closest to firing moves first. The redirected ReLU of lucid (Olah et al. 2017) passes
    the gradient equally at all positions, which moves all of them a little and often none of them enough.

    A unit is closed below zero and, if it has a ceiling, above it. A closed unit passes only the gradient that can open it: a
    positive one below zero, a negative one above the ceiling. So a row that is at its ceiling everywhere can be lowered, the
    position closest to the ceiling first, but a gradient that would raise it further has no effect: the unit already has its
    largest value.

    Attributes
    ----------
    sharpness : float, default 4
        Inverse temperature of the softmax, in units of the pre-activation's own standard deviation.
    """

    sharpness: float = 4.0

    def __call__(
        self, xp: Namespace, x: Array, g: Array, gate: Array, rectifier: Rectifier = RELU
    ) -> tuple[Array, Array]:
        standard = rectifier.standard(xp, x, g)
        axes = tuple(range(1, x.ndim))
        silent = (xp.max(xp.abs(standard), axis=axes) == 0) & (gate > 0)
        if surely_none(silent):  # true for most layers at most steps
            return standard, xp.astype(silent, g.dtype)
        used = xp.astype(silent & (xp.max(xp.abs(g), axis=axes) > 0), g.dtype)
        useless = (x <= 0) & (g < 0)
        if rectifier.clipped:
            useless = useless | ((x >= rectifier.ceiling) & (g > 0))
        useful = xp.where(useless, xp.zeros_like(g), g)
        if x.ndim > 2:
            useful = useful * self._nearest_first(xp, rectifier.distance(xp, x), g)
        return xp.where(expand(xp, used, g) > 0, useful, standard), used

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
    """Guided backpropagation: pass a gradient where it is positive and the unit is open (Springenberg et al. 2015).

    A unit with a ceiling is open where ``0 < x < ceiling``.
    """

    by_row: ClassVar[bool] = False

    def __call__(
        self, xp: Namespace, x: Array, g: Array, gate: Array, rectifier: Rectifier = RELU
    ) -> tuple[Array, Array]:
        return xp.where(rectifier.is_open(xp, x) & (g > 0), g, xp.zeros_like(g)), xp.ones_like(gate)


@dataclass(frozen=True)
class Deconvolution:
    """Deconvolution: pass a gradient where it is positive, whatever the pre-activation (Zeiler and Fergus 2014)."""

    by_row: ClassVar[bool] = False

    def __call__(
        self, xp: Namespace, x: Array, g: Array, gate: Array, rectifier: Rectifier = RELU
    ) -> tuple[Array, Array]:
        return xp.where(g > 0, g, xp.zeros_like(g)), xp.ones_like(gate)


def acts_by_row(rule: Any) -> bool:
    """Whether a rule needs to know which rows of a tensor are which image (default: yes).

    A rule whose gradient at each value depends on nothing but that value says ``by_row = False``; it then acts on tensors of any
    arrangement.
    """
    return bool(getattr(rule, "by_row", True))


def with_ceilings(rule: Callable[..., tuple[Array, Array]]) -> Callable[..., tuple[Array, Array]]:
    """Return a rule as ``rule(xp, x, g, gate, rectifier)``.

    A rule of four arguments knows units without a ceiling only. At a ceiling, it gets the framework's own gradient.
    """
    try:
        parameters = list(inspect.signature(rule).parameters.values())
    except (TypeError, ValueError):
        return rule
    positional = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    if len(positional) > 4 or any(item.kind is item.VAR_POSITIONAL for item in parameters):
        return rule

    def clipped(xp: Namespace, x: Array, g: Array, gate: Array, rectifier: Rectifier) -> tuple[Array, Array]:
        if rectifier.clipped:
            upper = Rectifier(rectifier.ceiling, at_zero=1.0, at_ceiling=rectifier.at_ceiling)
            g = xp.where(x < 0, g, upper.standard(xp, x, g))
        return rule(xp, x, g, gate)

    return clipped
