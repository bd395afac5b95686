"""Backward rules for rectified linear units in traced functions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.backend import Rule
from phosphene.errors import CoverageWarning
from phosphene.layouts import Layout
from phosphene.rules import Rectifier, acts_by_row, with_ceilings
from phosphene.types import Array, Tree
from phosphene_jax.axes import CHANNELS, FIXED, ROWS, Known
from phosphene_jax.dependence import Way
from phosphene_jax.equations import (
    INLINED,
    Rectified,
    constants_inside,
    inner_jaxprs,
    nonlinearity,
    producers_of,
    rectified,
)
from phosphene_jax.interpreter import Taps, interpret

__all__ = ["nonlinearities", "with_rule"]


@dataclass(frozen=True)
class Arrangement:
    """What is known about the axes of an array: the channels, and the rows of the images."""

    channels: Known
    rows: Known


@dataclass
class Ruled:
    """See `phosphene_jax.interpreter.Rules`."""

    rule: Rule
    gate: Array
    missed: dict[str, None] = field(default_factory=dict)
    fixed: Arrangement = Arrangement(FIXED, FIXED)

    def replaced(self, x: Array, found: Rectified, about: Arrangement) -> Array | None:
        """The unit with the backward pass of the rule; None if it does not depend on the images, or has no row for each of them."""
        if about.channels is FIXED:
            return None
        count = self.gate.shape[0]
        if not acts_by_row(self.rule):
            return _ruled(self.rule, found.unit, _Places(None, None))(x, self.gate)
        rows = 0 if x.shape[0] == count or count == 1 else _rows(about.rows, count)
        if rows is None:
            self.missed[f"a rectified linear unit of shape {x.shape} has no row for each image"] = None
            return None
        channel = None if about.channels is None else about.channels.channel
        return _ruled(self.rule, found.unit, _Places(rows, channel))(x, self.gate)

    def outputs(self, equation: Any, about: list[Arrangement]) -> list[Arrangement]:
        """The axes of the outputs of an equation."""
        channels = CHANNELS.outputs(equation, [one.channels for one in about])
        rows = ROWS.outputs(equation, [one.rows for one in about])
        return [Arrangement(*pair) for pair in zip(channels, rows, strict=True)]

    def inside(self, equation: Any, about: list[Arrangement]) -> list[Arrangement]:
        """The axes of the inputs of the body of an equation."""
        channels = CHANNELS.inside(equation, [one.channels for one in about])
        rows = ROWS.inside(equation, [one.rows for one in about])
        return [Arrangement(*pair) for pair in zip(channels, rows, strict=True)]


@dataclass(frozen=True)
class _Places:
    """The axis of which each image has an equal run (None if the rule looks at each value alone), and that of the channels."""

    rows: int | None
    channel: int | None

    def first(self, x: Array, count: int) -> Array:
        """One row for each image, and the channels last."""
        if self.rows is None:
            return x
        if self.rows == 0 and x.shape[0] == count:
            return x[:, None] if x.ndim == 1 else jnp.moveaxis(x, self._channel(x), -1)
        shape = (*x.shape[: self.rows], count, x.shape[self.rows] // count, *x.shape[self.rows + 1 :])
        apart = jnp.moveaxis(jnp.reshape(x, shape), self.rows, 0)
        return jnp.moveaxis(apart, self._channel(x) + 1, -1)

    def back(self, rows: Array, like: Array, count: int) -> Array:
        """The inverse of `first`."""
        if self.rows is None:
            return rows
        if self.rows == 0 and like.shape[0] == count:
            return rows[:, 0] if like.ndim == 1 else jnp.moveaxis(rows, -1, self._channel(like))
        return jnp.reshape(jnp.moveaxis(jnp.moveaxis(rows, -1, self._channel(like) + 1), 0, self.rows), like.shape)

    def _channel(self, x: Array) -> int:
        known = self.channel is not None and self.channel != self.rows and self.channel < x.ndim
        return self.channel if known and self.channel is not None else x.ndim - 1


def with_rule(rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
    """See `phosphene.backend.Backend.with_rule`."""

    def ruled(x: Array, gate: Array) -> Tree:
        rules = Ruled(rule, gate)
        taps = Taps(frozenset(), rules=rules, stops=False)
        closed, shape = jax.make_jaxpr(f, return_shape=True)(x)
        about = Arrangement(Layout.of(x.shape, -1), Layout.of(x.shape, 0))
        outputs = interpret(closed, [x], taps, [about])
        for sentence in (*taps.missed, *rules.missed):
            warnings.warn(f"{sentence}.", CoverageWarning, stacklevel=2)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs or [])

    return ruled


def nonlinearities(f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
    """See `phosphene.backend.Backend.nonlinearities`; the names of units that rules do not reach tell what they are in."""
    counts: Counter[str] = Counter()
    closed = jax.make_jaxpr(f)(x)
    everything = [True] * len(closed.jaxpr.outvars)
    _count(closed, Way(closed.jaxpr, [True], everything), counts)
    return dict(counts)


def _ruled(rule: Rule, unit: Rectifier, places: _Places) -> Callable[[Array, Array], Array]:
    complete = with_ceilings(rule)

    def values(x: Array) -> Array:
        lower = jnp.maximum(x, 0)
        return jnp.minimum(lower, jnp.asarray(unit.ceiling, x.dtype)) if unit.clipped else lower

    @jax.custom_vjp
    def rectifier(x: Array, gate: Array) -> Array:
        return values(x)

    def forward(x: Array, gate: Array) -> tuple[Array, tuple[Array, Array]]:
        return values(x), (x, gate)

    def backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
        x, gate = kept
        count = gate.shape[0]
        gradient, used = complete(jnp, places.first(x, count), places.first(g, count), gate, unit)
        return places.back(gradient, x, count).astype(x.dtype), used.astype(gate.dtype)

    rectifier.defvjp(forward, backward)
    return rectifier


def _rows(rows: Known, count: int) -> int | None:
    """Return the axis of which each image has an equal run: the one whose first factor is that of the images."""
    if rows is None or rows is FIXED:
        return None
    found = [axis for axis in range(len(rows.axes)) if rows.holds(axis)]
    return found[0] if len(found) == 1 and rows.axes[found[0]][0] == (count, True) else None


def _count(
    closed: Any,
    way: Way,
    counts: Counter[str],
    times: int = 1,
    inside: str = "",
    constants: Mapping[Any, Any] | None = None,
) -> None:
    producers = producers_of(closed.jaxpr, constants, closed.consts)
    units = {id(equation): rectified(equation, producers) for equation in closed.jaxpr.eqns}
    parts = {id(unit.front) for unit in units.values() if unit is not None and unit.front is not None}
    for equation in closed.jaxpr.eqns:
        if not way.passes(equation) or id(equation) in parts:
            continue
        primitive = equation.primitive.name
        name = nonlinearity(equation, producers)
        if name is not None:
            counts[f"{name} in {inside}" if inside and units[id(equation)] is not None else name] += times
            continue
        reached = primitive in INLINED or primitive == "scan"
        for inner in inner_jaxprs(equation):
            length = equation.params["length"] if primitive == "scan" else 1
            _count(
                inner,
                way.inside(equation, inner),
                counts,
                times * length,
                inside or ("" if reached else primitive),
                constants_inside(equation, inner, producers),
            )
