"""Optimizers of gradient ascent, in which every target of a batch counts its own steps.

`phosphene.render(optimizer=...)` also takes `torch.optim` factories and optax transformations; tests compare the optimizers here
with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phosphene.arrays import constant, expand, tree_map
from phosphene.errors import InvalidParameter
from phosphene.failures import function_failed
from phosphene.kit.checks import boolean, integer, number, share
from phosphene.types import Array, Namespace, Tree

__all__ = ["Optimizer", "Schedule", "adam", "cosine", "nadam", "sgd"]


class Optimizer(Protocol):
    """The interface of an optimizer; hashable and compared by value."""

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        """Return the initial state for parameters ``(N, ...)``."""
        ...

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        """Take one step *up* the gradient; `clock` ``(N,)`` is the number of steps each row has taken before."""
        ...

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        """Return the state with initial entries where `rows` is True."""
        ...

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        """Return the state of the given rows only."""
        ...


class Schedule(Protocol):
    """A factor of the learning rate as a function of a row's steps; hashable and compared by value."""

    def __call__(self, xp: Namespace, clock: Array) -> Array:
        """Return factors ``(N,)`` for the numbers of steps ``(N,)``, floats that start at 0."""
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
    """An optimizer whose state consists of arrays with the parameters' leading axis, initially zero."""

    learning_rate: float
    schedule: Schedule | None

    def rate(self, xp: Namespace, parameters: Array, clock: Array) -> Array | float:
        """Return the learning rate of each row."""
        if self.schedule is None:
            return self.learning_rate
        return self.learning_rate * _factors(self.schedule, xp, expand(xp, clock, parameters))

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
        # Sums rather than means: the factors that turn them into Adam's moments and correct their bias are numbers per row, and
        # gathered into one factor they cost no pass over the state.
        first = self.beta1 * state[0] + gradient
        second = self.beta2 * state[1] + xp.square(gradient)
        # In the parameters' dtype: with float32 steps the correction of a float64 run was off by 1e-8 per step.
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
        # The last entry is 1 minus the product of the momenta so far, one number per row, so that it too starts at 0.
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
    """Adam (Kingma and Ba 2015).

    Parameters
    ----------
    learning_rate : float, default 0.05
        Above 0.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay rates of the first and second moments, in [0, 1).
    epsilon : float, default 1e-8
        Added to the square root of the second moment.
    schedule : Schedule, optional
        Schedule of the learning rate, such as `phosphene.optimizers.cosine` (default: a constant rate).

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        If a number is out of range.
    """
    return Adam(
        _rate(learning_rate),
        _schedule(schedule),
        _below_one("beta1", beta1, 0.9),
        _below_one("beta2", beta2, 0.999),
        number("epsilon", epsilon, minimum=0.0, example=1e-8),
    )


def nadam(
    learning_rate: float = 0.05,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    *,
    momentum_decay: float = 0.004,
    schedule: Schedule | None = None,
) -> Optimizer:
    """Adam with Nesterov momentum (Dozat 2016).

    The momentum warms up as in the paper, ``beta1 (1 - 0.5 * 0.96^(t momentum_decay))``, as in ``torch.optim.NAdam`` and Keras.
    ``optax.nadam`` has no warm-up: its momentum is beta1 from the first step.

    Parameters
    ----------
    learning_rate : float, default 0.05
        Above 0.
    beta1, beta2, epsilon : float
        As in `adam`.
    momentum_decay : float, default 0.004
        Rate at which the momentum warms up; at least 0.
    schedule : Schedule, optional
        Schedule of the learning rate (default: a constant rate).

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        If a number is out of range.
    """
    return Nadam(
        _rate(learning_rate),
        _schedule(schedule),
        _below_one("beta1", beta1, 0.9),
        _below_one("beta2", beta2, 0.999),
        number("epsilon", epsilon, minimum=0.0, example=1e-8),
        number("momentum_decay", momentum_decay, minimum=0.0, example=0.004),
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
        Whether to divide each row's gradient by its mean absolute value, as DeepDream does (Mordvintsev et al. 2015), so that
        the size of a step does not depend on the size of the gradient.
    schedule : Schedule, optional
        Schedule of the learning rate (default: a constant rate).

    Returns
    -------
    Optimizer

    Raises
    ------
    InvalidParameter
        If a number is out of range.
    """
    return Sgd(
        _rate(learning_rate),
        _schedule(schedule),
        _below_one("momentum", momentum, 0.9),
        boolean("normalize", normalize),
    )


def cosine(steps: int, final: float = 0.0) -> Schedule:
    """Cosine decay of the learning rate (Loshchilov and Hutter 2017).

    Parameters
    ----------
    steps : int
        Number of steps of the decay, at least 1; the rate is constant afterwards.
    final : float, default 0
        Final fraction of the learning rate, in [0, 1].

    Returns
    -------
    Schedule

    Raises
    ------
    InvalidParameter
        If a number is out of range.
    """
    return Cosine(integer("steps", steps, minimum=1, limit=MOST_STEPS), share("final", final, example=0.0))


def _below_one(name: str, value: float, example: float) -> float:
    found = number(name, value, example=example)
    if not 0 <= found < 1:
        raise InvalidParameter(
            name, allowed="a number in [0, 1)", received=value, fix=f"For example {name}={example:g}."
        )
    return found


def _factors(schedule: Schedule, xp: Namespace, clock: Array) -> Array:
    """Call a schedule, which may be a user's own.

    Raises
    ------
    InvalidParameter
        If it raises, or returns anything but one factor per row. Errors of phosphene are passed on.
    """
    fix = "A schedule is a function of xp and clock, such as lambda xp, clock: 0.99**clock."
    try:
        found = schedule(xp, clock)
        fits = isinstance(found, (int, float)) or np.broadcast_shapes(found.shape, clock.shape) == tuple(clock.shape)
    except Exception as error:
        raise function_failed("schedule", schedule, error, fix) from error
    if not fits:
        raise InvalidParameter("schedule", allowed="one factor of the learning rate per row", received=found, fix=fix)
    return found


def _schedule(value: Schedule | None) -> Schedule | None:
    if value is not None and (not callable(value) or isinstance(value, type)):
        raise InvalidParameter(
            "schedule",
            allowed="a schedule or None",
            received=value,
            fix="For example schedule=ph.optimizers.cosine(256).",
        )
    return value


MOST_STEPS = 1_000_000_000
"""Most steps of a schedule, an integer that every framework takes."""


def _rate(value: float) -> float:
    return number("learning_rate", value, minimum=0.0, open_minimum=True, example=0.05)
