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
from phosphene.draws import integer
from phosphene.errors import InvalidParameter
from phosphene.types import Array, Namespace, Tree

__all__ = ["Optimizer", "Schedule", "adam", "cosine", "nadam", "sgd"]


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


class Schedule(Protocol):
    """A factor of the learning rate by the steps a row has made; hashable and compared by value."""

    def __call__(self, xp: Namespace, clock: Array) -> Array:
        """Factors ``(N,)`` for clocks ``(N,)``, floats that count from 0."""
        ...


@dataclass(frozen=True)
class Cosine:
    steps: int
    final: float

    def __call__(self, xp: Namespace, clock: Array) -> Array:
        done = xp.clip(clock / self.steps, 0.0, 1.0)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + xp.cos(math.pi * done))


@dataclass(frozen=True)
class ElementwiseOptimizer:
    """An optimizer whose state is arrays with the parameters' leading axis, zero at the start."""

    learning_rate: float
    schedule: Schedule | None

    def rate(self, xp: Namespace, parameters: Array, clock: Array) -> Array | float:
        """The learning rate of each row at its clock."""
        if self.schedule is None:
            return self.learning_rate
        return self.learning_rate * self.schedule(xp, expand(xp, clock, parameters))

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
        factor = self.rate(xp, parameters, clock) * (1.0 - self.beta1) / first_correction * root
        return parameters + factor * (first / (xp.sqrt(second) + self.epsilon * root)), (first, second)


@dataclass(frozen=True)
class Nadam(ElementwiseOptimizer):
    beta1: float
    beta2: float
    epsilon: float
    momentum_decay: float

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        # The last is 1 minus the product of the momenta so far, a number a row: like the rest it starts at 0.
        rows = xp.sum(xp.reshape(parameters, (parameters.shape[0], -1)), axis=1)
        return xp.zeros_like(parameters), xp.zeros_like(parameters), xp.zeros_like(rows)

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        first = self.beta1 * state[0] + (1.0 - self.beta1) * gradient
        second = self.beta2 * state[1] + (1.0 - self.beta2) * xp.square(gradient)
        steps = xp.astype(clock, parameters.dtype) + 1.0
        momentum, following = self._momentum(xp, steps), self._momentum(xp, steps + 1.0)
        product = (1.0 - state[2]) * momentum
        correction = expand(xp, 1.0 - xp.exp(steps * math.log(self.beta2)), parameters) if self.beta2 > 0 else 1.0
        ahead = expand(xp, following / (1.0 - product * following), parameters) * first
        now = expand(xp, (1.0 - momentum) / (1.0 - product), parameters) * gradient
        change = (ahead + now) / (xp.sqrt(second / correction) + self.epsilon)
        return parameters + self.rate(xp, parameters, clock) * change, (first, second, 1.0 - product)

    def _momentum(self, xp: Namespace, steps: Array) -> Array:
        return self.beta1 * (1.0 - 0.5 * xp.exp(steps * (self.momentum_decay * math.log(0.96))))


@dataclass(frozen=True)
class Sgd(ElementwiseOptimizer):
    momentum: float
    normalize: bool

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        return (xp.zeros_like(parameters),) if self.momentum else ()

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        if self.normalize:
            mean = xp.mean(xp.reshape(xp.abs(gradient), (gradient.shape[0], -1)), axis=1)
            gradient = gradient / expand(xp, mean + 1e-12, gradient)
        rate = self.rate(xp, parameters, clock)
        if not self.momentum:
            return parameters + rate * gradient, state
        velocity = self.momentum * state[0] + gradient
        return parameters + rate * velocity, (velocity,)


def adam(
    learning_rate: float = 0.05,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    *,
    schedule: Schedule | None = None,
) -> Optimizer:
    """Adam (Kingma and Ba 2015), a clock a target.

    Parameters
    ----------
    learning_rate : float, default 0.05
        Above 0.
    beta1, beta2 : float
        Decay rates of the first and second moment, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root of the second moment.
    schedule : Schedule, optional
        Of the learning rate, such as `phosphene.cosine`; constant when absent.

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        When a number is out of range.
    """
    _betas(beta1, beta2)
    return Adam(_rate(learning_rate), _schedule(schedule), float(beta1), float(beta2), float(epsilon))


def nadam(
    learning_rate: float = 0.05,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    *,
    momentum_decay: float = 0.004,
    schedule: Schedule | None = None,
) -> Optimizer:
    """Adam with Nesterov momentum (Dozat 2016), a clock a target.

    The momentum warms up as in the paper, ``beta1 (1 - 0.5 * 0.96^(t momentum_decay))``, which is what ``torch.optim.NAdam`` and
    Keras do. ``optax.nadam`` leaves the warm-up out: there the momentum is beta1 from the first step on.

    Parameters
    ----------
    learning_rate : float, default 0.05
        Above 0.
    beta1, beta2, epsilon
        As of `adam`.
    momentum_decay : float, default 0.004
        How slowly the momentum warms up, at least 0.
    schedule : Schedule, optional
        Of the learning rate.

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        When a number is out of range.
    """
    _betas(beta1, beta2)
    if not 0 <= momentum_decay < math.inf:
        raise InvalidParameter(
            "momentum_decay", allowed="a number of at least 0", received=momentum_decay, fix="The usual one is 0.004."
        )
    return Nadam(
        _rate(learning_rate), _schedule(schedule), float(beta1), float(beta2), float(epsilon), float(momentum_decay)
    )


def sgd(
    learning_rate: float, momentum: float = 0.0, *, normalize: bool = False, schedule: Schedule | None = None
) -> Optimizer:
    """Plain gradient ascent, optionally with momentum (Polyak 1964).

    Parameters
    ----------
    learning_rate : float
        Above 0.
    momentum : float, default 0
        In [0, 1).
    normalize : bool, default False
        Whether each row's gradient is divided by the mean of its absolute values, as DeepDream does (Mordvintsev et al. 2015):
        steps are then as large wherever one starts.
    schedule : Schedule, optional
        Of the learning rate.

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
    return Sgd(_rate(learning_rate), _schedule(schedule), float(momentum), bool(normalize))


def cosine(steps: int, final: float = 0.0) -> Schedule:
    """Half a wave of a cosine, from the whole learning rate to a part of it (Loshchilov and Hutter 2017).

    Parameters
    ----------
    steps : int
        After which it stays where it is, at least 1.
    final : float, default 0
        The part that is left, in [0, 1].

    Returns
    -------
    Schedule

    Raises
    ------
    InvalidParameter
        When a number is out of range.
    """
    if not 0 <= final <= 1:
        raise InvalidParameter("final", allowed="a number in [0, 1]", received=final, fix="0 comes to rest.")
    return Cosine(integer("steps", steps, minimum=1), float(final))


def _betas(beta1: float, beta2: float) -> None:
    for name, value in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= value < 1:
            raise InvalidParameter(
                name, allowed="a number in [0, 1)", received=value, fix="The usual pair is 0.9, 0.999."
            )


def _schedule(value: Schedule | None) -> Schedule | None:
    if value is not None and not callable(value):
        raise InvalidParameter("schedule", allowed="a schedule, or None", received=value, fix="ph.cosine(256)")
    return value


def _rate(value: float) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidParameter("learning_rate", allowed="a positive number", received=value, fix="Start with 0.05.")
    return float(value)
