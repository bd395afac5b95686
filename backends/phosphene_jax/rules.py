"""Backward rules for rectified linear units in traced functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.backend import Rule
from phosphene.types import Array, Tree
from phosphene_jax.interpreter import Taps, inner_jaxprs, interpret, is_relu

__all__ = ["nonlinearities", "with_rule"]

NAMED = frozenset(
    {"gelu", "silu", "swish", "softmax", "elu", "selu", "celu", "leaky_relu", "relu6", "softplus", "mish", "hard_swish",
     "hard_silu", "log_softmax", "glu", "squareplus", "hard_tanh"}
)  # fmt: skip
PRIMITIVES = {"logistic": "sigmoid", "tanh": "tanh"}


def with_rule(rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
    """See `phosphene.backend.Backend.with_rule`."""

    def ruled(x: Array, gate: Array) -> Tree:
        closed, shape = jax.make_jaxpr(f, return_shape=True)(x)
        outputs = interpret(closed, [x], Taps(frozenset(), relu=lambda value: _ruled_relu(rule)(value, gate)))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs or [])

    return ruled


def nonlinearities(f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
    """See `phosphene.backend.Backend.nonlinearities`."""
    counts: Counter[str] = Counter()
    _count(jax.make_jaxpr(f)(x).jaxpr, counts, 1)
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
        return gradient, used.astype(gate.dtype)

    relu.defvjp(forward, backward)
    return relu


def _count(jaxpr: Any, counts: Counter[str], times: int) -> None:
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if is_relu(equation):
            counts["relu"] += times
        elif name in NAMED:
            counts[name] += times
        elif equation.primitive.name in PRIMITIVES:
            counts[PRIMITIVES[equation.primitive.name]] += times
        else:
            inside = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
            for inner in inner_jaxprs(equation):
                _count(inner.jaxpr, counts, inside)
