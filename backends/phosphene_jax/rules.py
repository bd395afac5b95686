"""Backward rules for rectified linear units in traced functions."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.backend import Rule
from phosphene.errors import CoverageWarning
from phosphene.types import Array, Tree
from phosphene_jax.equations import INLINED, inner_jaxprs, nonlinearity, producers_of
from phosphene_jax.interpreter import Taps, interpret

__all__ = ["nonlinearities", "with_rule"]


def with_rule(rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
    """See `phosphene.backend.Backend.with_rule`."""
    relu = _ruled_relu(rule)

    def ruled(x: Array, gate: Array) -> Tree:
        def replaced(value: Array) -> Array | None:
            # A rule works row by row: it does not apply if rows are not images (windows of attention).
            if value.shape[0] == gate.shape[0]:
                return relu(value, gate)
            taps.missed[f"a rectified linear unit of shape {value.shape} has no row for each image"] = None
            return None

        taps = Taps(frozenset(), relu=replaced, stops=False)
        closed, shape = jax.make_jaxpr(f, return_shape=True)(x)
        outputs = interpret(closed, [x], taps)
        for sentence in taps.missed:
            warnings.warn(f"{sentence}.", CoverageWarning, stacklevel=2)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs or [])

    return ruled


def nonlinearities(f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
    """See `phosphene.backend.Backend.nonlinearities`; the names of units that rules do not reach tell what they are in."""
    counts: Counter[str] = Counter()
    _count(jax.make_jaxpr(f)(x).jaxpr, counts, 1, "")
    return dict(counts)


def _ruled_relu(rule: Rule) -> Callable[[Array, Array], Array]:
    @jax.custom_vjp
    def relu(x: Array, gate: Array) -> Array:
        return jnp.maximum(x, 0)

    def forward(x: Array, gate: Array) -> tuple[Array, tuple[Array, Array]]:
        return jnp.maximum(x, 0), (x, gate)

    def backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
        x, gate = kept
        gradient, used = rule(jnp, x, g, gate)
        return gradient.astype(x.dtype), used.astype(gate.dtype)

    relu.defvjp(forward, backward)
    return relu


def _count(jaxpr: Any, counts: Counter[str], times: int, inside: str) -> None:
    producers = producers_of(jaxpr)
    for equation in jaxpr.eqns:
        primitive = equation.primitive.name
        name = nonlinearity(equation, producers)
        if name is not None:
            counts[f"relu in {inside}" if inside and name == "relu" else name] += times
            continue
        reached = primitive in INLINED or primitive == "scan"
        for inner in inner_jaxprs(equation):
            length = equation.params["length"] if primitive == "scan" else 1
            _count(inner.jaxpr, counts, times * length, inside or ("" if reached else primitive))
