"""Optimizers of the ascent, written once: every target in a batch has a clock of its own.

`torch.optim` factories and optax transformations are taken too (`phosphene.render(optimizer=...)`); the ones here are held to
them by tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phosphene.arrays import constant, expand, tree_map
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Namespace, Tree

__all__ = ["Optimizer", "adam", "sgd"]


class Optimizer(Protocol):
    """What the ascent asks of an optimizer; hashable and compared by value."""

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        """State for parameters ``(N, ...)``."""
        ...

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        """One step *up* the gradient; `clock` ``(N,)`` counts the steps each row has made before."""
        ...

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        """The state with fresh entries where `rows` is true."""
        ...

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        """The state of the given rows alone."""
        ...


@dataclass(frozen=True)
class ElementwiseOptimizer:
    """An optimizer whose state is arrays of the parameters' shape, zero at the start."""

    learning_rate: float

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        keep = constant(xp, 1.0 - np.asarray(rows, np.float64), parameters)
        return tree_map(lambda leaf: leaf * expand(xp, keep, leaf), state)

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        return tree_map(lambda leaf: xp.stack([leaf[row, ...] for row in rows]), state)


@dataclass(frozen=True)
class Adam(ElementwiseOptimizer):
    beta1: float
    beta2: float
    epsilon: float

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        return xp.zeros_like(parameters), xp.zeros_like(parameters)

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        # Sums, not means: what turns them into Adam's moments, and both corrections of these, are numbers a row, which cost no
        # pass over the state when they are gathered into one factor.
        first = self.beta1 * state[0] + gradient
        second = self.beta2 * state[1] + xp.square(gradient)
        # The clock in the parameters' own dtype: in float32 the correction of a float64 run was off by 1e-8 a step.
        steps = expand(xp, clock, parameters) + 1.0
        first_correction = 1.0 - xp.exp(steps * math.log(self.beta1)) if self.beta1 > 0 else 1.0
        second_correction = 1.0 - xp.exp(steps * math.log(self.beta2)) if self.beta2 > 0 else 1.0
        root = (second_correction / (1.0 - self.beta2)) ** 0.5
        factor = self.learning_rate * (1.0 - self.beta1) / first_correction * root
        return parameters + factor * (first / (xp.sqrt(second) + self.epsilon * root)), (first, second)


@dataclass(frozen=True)
class Sgd(ElementwiseOptimizer):
    momentum: float

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        return (xp.zeros_like(parameters),) if self.momentum else ()

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        if not self.momentum:
            return parameters + self.learning_rate * gradient, state
        velocity = self.momentum * state[0] + gradient
        return parameters + self.learning_rate * velocity, (velocity,)


def adam(learning_rate: float = 0.05, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Adam (Kingma and Ba 2015), a clock a target.

    Parameters
    ----------
    learning_rate : float, default 0.05
        Above 0.
    beta1, beta2 : float
        Decay rates of the first and second moment, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root of the second moment.

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        When a number is out of range.
    """
    for name, value in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= value < 1:
            raise InvalidParameter(
                name, allowed="a number in [0, 1)", received=value, fix="The usual pair is 0.9, 0.999."
            )
    return Adam(_rate(learning_rate), float(beta1), float(beta2), float(epsilon))


def sgd(learning_rate: float, momentum: float = 0.0) -> Optimizer:
    """Plain gradient ascent, optionally with momentum (Polyak 1964).

    Parameters
    ----------
    learning_rate : float
        Above 0.
    momentum : float, default 0
        In [0, 1).

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        When a number is out of range.
    """
    if not 0 <= momentum < 1:
        raise InvalidParameter("momentum", allowed="a number in [0, 1)", received=momentum, fix="The usual one is 0.9.")
    return Sgd(_rate(learning_rate), float(momentum))


def _rate(value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidParameter("learning_rate", allowed="a positive number", received=value, fix="Start with 0.05.")
    return float(value)
