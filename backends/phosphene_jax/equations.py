"""Analyse traced equations: their inner jaxprs, and the nonlinearity that they compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from phosphene.rules import Rectifier

__all__ = [
    "INLINED",
    "Producers",
    "Rectified",
    "body_of",
    "constants_inside",
    "inner_jaxprs",
    "nonlinearity",
    "producers_of",
    "rectified",
    "source_of",
    "units_of",
]

INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "remat"})
"""Primitives that only group equations, so that their bodies can be executed instead."""

CALLS = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})
"""Primitives whose body has the same inputs, and a derivative of its own."""

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

FUNCTIONS: Mapping[str, Rectifier] = {"relu": Rectifier(), "relu6": Rectifier(6.0)}
"""Rectified linear units with a derivative of their own, by name."""

Producers = Mapping[Any, Any]
"""The equation that computes a variable; the value of a constant one."""


@dataclass(frozen=True)
class Rectified:
    """A rectified linear unit: the variable that it rectifies, an input of its equation or of one in front of it."""

    variable: Any
    unit: Rectifier
    front: Any = None
    """The equation in front, of a unit in two equations, each of which has one of the ends."""
    gate: bool = False
    """Whether it is part of a hard sigmoid that a model spells out, ``relu6(x + 3) / 6``, and no unit of its own."""

    @property
    def name(self) -> str:
        """The name under which it is counted."""
        return "hard_sigmoid" if self.gate else self.unit.name


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


def producers_of(jaxpr: Any, constants: Mapping[Any, Any] | None = None, consts: Sequence[Any] = ()) -> Producers:
    """Return the equation of `jaxpr` that computes each variable, and the value of each constant.

    Parameters
    ----------
    jaxpr : Jaxpr
    constants : mapping, optional
        What is known of its inputs; see `constants_inside`.
    consts : sequence, optional
        Values of the constant variables of a closed jaxpr.
    """
    found: dict[Any, Any] = dict(constants or {})
    found.update(zip(jaxpr.constvars, consts, strict=False))
    found.update((variable, equation) for equation in jaxpr.eqns for variable in equation.outvars)
    return found


def constants_inside(equation: Any, inner: Any, producers: Producers) -> dict[Any, Any]:
    """Return what is known of the inputs of a body of `equation`: see `Producers`.

    These are constant numbers, such as the bounds that ``jnp.clip`` is given, and sums with a number.
    """
    if equation.primitive.name == "scan":
        pairs = zip(inner.jaxpr.invars[: equation.params["num_consts"]], equation.invars, strict=False)
    elif equation.primitive.name in INLINED | CALLS and len(inner.jaxpr.invars) == len(equation.invars):
        pairs = zip(inner.jaxpr.invars, equation.invars, strict=True)
    else:
        return {}
    found = {variable: _known(given, producers) for variable, given in pairs}
    return {variable: known for variable, known in found.items() if known is not None}


def rectified(equation: Any, producers: Producers) -> Rectified | None:
    """Return the rectified linear unit that an equation computes, or the last equation of one; None for other equations.

    These are ``jax.nn.relu`` and ``jax.nn.relu6``, a maximum with zero, a clamp between zero and a number, and a maximum with zero
    and a minimum with a number, one after the other in either order.
    """
    found = _ends(equation, producers)
    if found is None:
        return None
    variable, low, high, unit = found
    before = producers.get(variable) if not isinstance(variable, jex.Literal) else None
    ends = _ends(before, producers) if isinstance(before, jex.JaxprEqn) else None
    joined = None if ends is None else _joined(ends, found)
    if joined is not None:
        variable, low, high, unit = joined
    if low != 0 or not high > 0 or not jnp.ndim(variable.aval) or not jnp.issubdtype(variable.aval.dtype, jnp.floating):
        return None
    return Rectified(variable, unit, None if joined is None else before, _is_shifted(variable, high / 2, producers))


def units_of(jaxpr: Any, producers: Producers) -> dict[int, Rectified]:
    """Return the rectified linear units among the equations of a jaxpr, by the identity of the equation; no hard sigmoids."""
    found = {id(equation): unit for equation in jaxpr.eqns if (unit := rectified(equation, producers)) is not None}
    gates = {id(unit.front) for unit in found.values() if unit.gate}
    return {key: unit for key, unit in found.items() if not unit.gate and key not in gates}


Ends = tuple[Any, float, float, Rectifier]
"""A variable, its lower and its upper bound, and the rectifier, whose ends that are not bounds do not matter."""


def _ends(equation: Any, producers: Producers) -> Ends | None:
    primitive = equation.primitive.name
    if primitive == "custom_jvp_call" and _name_of(equation) in FUNCTIONS:
        unit = FUNCTIONS[_name_of(equation)]
        return equation.invars[0], 0.0, unit.ceiling, unit
    if primitive == "clamp":
        low, variable, high = equation.invars
        bounds = constant_of(low, producers), constant_of(high, producers)
        if None in bounds:
            return None
        return variable, bounds[0], bounds[1], Rectifier(bounds[1])  # type: ignore[return-value, arg-type]
    if primitive in ("max", "min"):
        numbers = [constant_of(variable, producers) for variable in equation.invars]
        if numbers.count(None) != 1:
            return None
        place = numbers.index(None)
        bound = numbers[1 - place] or 0.0
        # The derivative where both are equal is one half.
        if primitive == "max":
            return equation.invars[place], bound, math.inf, Rectifier(at_zero=0.5)
        return equation.invars[place], -math.inf, bound, Rectifier(bound, at_ceiling=0.5)
    return None


def _joined(first: Ends, then: Ends) -> Ends | None:
    """One unit for two equations that follow each other, each of which has one of the ends."""
    for lower, upper in ((first, then), (then, first)):
        if lower[1] == 0 and lower[2] == math.inf and upper[1] == -math.inf:
            return first[0], 0.0, upper[2], Rectifier(upper[2], lower[3].at_zero, upper[3].at_ceiling)
    return None


def constant_of(variable: Any, producers: Producers) -> float | None:
    """Return the number that all values of a variable are equal to, if it is known from the program alone."""
    if isinstance(variable, jex.Literal):
        return _number(variable.val)
    source = producers.get(variable)
    if not isinstance(source, jex.JaxprEqn):
        return _number(source)
    if source.primitive.name not in ("broadcast_in_dim", "convert_element_type", "copy", "reshape", "stop_gradient"):
        return None
    return constant_of(source.invars[0], producers)


def _number(value: Any) -> float | None:
    if isinstance(value, jax.core.Tracer) or not isinstance(value, (int, float, np.ndarray, np.generic, jax.Array)):
        return None
    if not any(jnp.issubdtype(jnp.result_type(value), kind) for kind in (jnp.floating, jnp.integer)):
        return None
    array = np.asarray(value)
    first = array.ravel()[:1]
    return float(first[0]) if array.size and bool((array == first).all()) else None


def _known(variable: Any, producers: Producers) -> Any:
    """The number that a variable is equal to, or the equation that adds a number to another one; else None."""
    source = None if isinstance(variable, jex.Literal) else producers.get(variable)
    if not isinstance(source, jex.JaxprEqn):
        return constant_of(variable, producers) if not jnp.ndim(variable.aval) else None  # weights are not looked at
    if source.primitive.name == "add" and any(isinstance(term, jex.Literal) for term in source.invars):
        return source
    return constant_of(variable, producers)


def _is_shifted(variable: Any, shift: float, producers: Producers) -> bool:
    """Whether a variable is another one plus this number."""
    source = None if isinstance(variable, jex.Literal) else producers.get(variable)
    if not isinstance(source, jex.JaxprEqn) or source.primitive.name != "add":
        return False
    return any(constant_of(term, producers) == shift for term in source.invars)


def nonlinearity(equation: Any, producers: Producers) -> str | None:
    """Return the name of the nonlinearity that an equation computes, or None."""
    primitive = equation.primitive.name
    if primitive == "name":  # a mark, whose name is that of a layer
        return None
    found = rectified(equation, producers)
    if found is not None:
        return found.name
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


def source_of(variable: Any, producers: Producers) -> Any:
    """The equation behind a variable, seen through changes of shape and dtype."""
    source = None if isinstance(variable, jex.Literal) else producers.get(variable)
    while isinstance(source, jex.JaxprEqn) and source.primitive.name in (
        "broadcast_in_dim",
        "reshape",
        "convert_element_type",
    ):
        following = source.invars[0]
        source = None if isinstance(following, jex.Literal) else producers.get(following)
    return source if isinstance(source, jex.JaxprEqn) else None


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
