"""Analyse traced equations: their inner jaxprs, and the nonlinearity that they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax.extend import core as jex

__all__ = [
    "INLINED",
    "Producers",
    "body_of",
    "inner_jaxprs",
    "nonlinearity",
    "producers_of",
    "rectified",
    "source_of",
]

INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "remat"})
"""Primitives that only group equations, so that their bodies can be executed instead."""

NAMED = frozenset(
    {
        "gelu",
        "silu",
        "swish",
        "softmax",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "relu6",
        "softplus",
        "mish",
        "hard_swish",
        "hard_silu",
        "hard_sigmoid",
        "log_softmax",
        "log_sigmoid",
        "sigmoid",
        "glu",
        "squareplus",
        "hard_tanh",
        "soft_sign",
    }
)
"""Names under which functions of ``jax.nn`` are traced; each is treated as one nonlinearity, whatever is inside."""

PRIMITIVES = {"logistic": "sigmoid", "tanh": "tanh", "erf": "gelu", "erfc": "gelu"}
GELU = 0.7978845608
"""sqrt(2 / pi): the factor in the argument of a tanh that approximates GELU (Hendrycks and Gimpel 2016)."""

Producers = Mapping[Any, Any]


def inner_jaxprs(equation: Any) -> list[Any]:
    """Return all jaxprs among an equation's parameters, as closed jaxprs."""
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, jex.ClosedJaxpr):
                found.append(item)
            elif isinstance(item, jex.Jaxpr):
                found.append(jex.ClosedJaxpr(item, ()))
    return found


def body_of(equation: Any) -> Any:
    """Return the jaxpr that an equation wraps as a closed jaxpr, or None."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(key)
        if inner is not None:
            return inner if isinstance(inner, jex.ClosedJaxpr) else jex.ClosedJaxpr(inner, ())
    return None


def producers_of(jaxpr: Any) -> Producers:
    """Return the equation of `jaxpr` that computes each variable."""
    return {variable: equation for equation in jaxpr.eqns for variable in equation.outvars}


def rectified(equation: Any, producers: Producers) -> int | None:
    """Return the index of the input that ``jax.nn.relu`` or a maximum with zero rectifies; None for other equations."""
    if equation.primitive.name == "custom_jvp_call":
        return 0 if _name_of(equation) == "relu" else None
    if equation.primitive.name == "max":
        zero = [_is_zero(variable, producers) for variable in equation.invars]
        if zero.count(True) == 1 and jnp.ndim(equation.invars[zero.index(False)].aval):
            return zero.index(False)
    return None


def nonlinearity(equation: Any, producers: Producers) -> str | None:
    """Return the name of the nonlinearity that an equation computes, or None."""
    primitive = equation.primitive.name
    if primitive == "name":  # a mark, whose name is that of a layer
        return None
    if rectified(equation, producers) is not None:
        return "relu"
    name = _name_of(equation).lstrip("_")
    if name in NAMED:
        return name
    if primitive == "tanh" and _is_gelu(equation, producers):
        return "gelu"
    if primitive == "div" and _is_softmax(equation, producers):
        return "softmax"
    return PRIMITIVES.get(primitive)


def _name_of(equation: Any) -> str:
    name = equation.params.get("name", "")
    inner = equation.params.get("call_jaxpr")
    if not name and isinstance(inner, jex.ClosedJaxpr):
        info = getattr(inner.jaxpr, "debug_info", None)
        name = getattr(info, "func_name", "") or ""
    return str(name)


def _is_zero(variable: Any, producers: Producers) -> bool:
    if isinstance(variable, jex.Literal):
        return jnp.ndim(variable.val) == 0 and bool(variable.val == 0)
    source = producers.get(variable)
    if source is None or source.primitive.name not in ("broadcast_in_dim", "convert_element_type", "copy"):
        return False
    return _is_zero(source.invars[0], producers)


def source_of(variable: Any, producers: Producers) -> Any:
    """The equation behind a variable, seen through changes of shape and dtype."""
    source = None if isinstance(variable, jex.Literal) else producers.get(variable)
    while source is not None and source.primitive.name in ("broadcast_in_dim", "reshape", "convert_element_type"):
        following = source.invars[0]
        source = None if isinstance(following, jex.Literal) else producers.get(following)
    return source


def _is_gelu(equation: Any, producers: Producers) -> bool:
    source = source_of(equation.invars[0], producers)
    if source is None or source.primitive.name != "mul":
        return False
    factors = [variable.val for variable in source.invars if isinstance(variable, jex.Literal)]
    return any(jnp.ndim(factor) == 0 and abs(float(factor) - GELU) < 1e-2 for factor in factors)


def _is_softmax(equation: Any, producers: Producers) -> bool:
    above, below = (source_of(variable, producers) for variable in equation.invars)
    if above is None or below is None or above.primitive.name != "exp" or below.primitive.name != "reduce_sum":
        return False
    return source_of(below.invars[0], producers) is above
