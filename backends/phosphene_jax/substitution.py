"""Small changes to traced functions: operations inserted before or after an equation, and replaced bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core as jex

from phosphene.types import Array

__all__ = ["spliced_after", "spliced_before", "with_bodies", "with_equations"]


def spliced_after(equation: Any, f: Callable[[Array], Array]) -> list[Any]:
    """Return `equation` followed by `f` applied to its first output, which it replaces."""
    output = equation.outvars[0]
    piece = _piece(f, output.aval)
    first = equation.replace(outvars=[piece.invars[0], *equation.outvars[1:]])
    return [first, *_renamed(piece, {piece.outvars[0]: output})]


def spliced_before(equation: Any, place: int, f: Callable[[Array], Array]) -> list[Any]:
    """Return `f` applied to the input `place` of `equation`, followed by `equation` with the result as that input."""
    source = equation.invars[place]
    if isinstance(source, jex.Literal):
        return [equation]
    piece = _piece(f, source.aval)
    inputs = [*equation.invars]
    inputs[place] = piece.outvars[0]
    return [*_renamed(piece, {piece.invars[0]: source}), equation.replace(invars=inputs)]


def with_bodies(equation: Any, change: Callable[[Any], Any]) -> Any:
    """Return `equation` with each jaxpr among its parameters replaced by ``change(closed jaxpr)``."""

    def changed(value: Any) -> Any:
        if isinstance(value, jex.ClosedJaxpr):
            return change(value)
        if isinstance(value, jex.Jaxpr):
            return change(jex.ClosedJaxpr(value, ())).jaxpr
        if isinstance(value, (tuple, list)) and any(isinstance(item, (jex.ClosedJaxpr, jex.Jaxpr)) for item in value):
            return type(value)(changed(item) for item in value)
        return value

    parameters = {key: changed(value) for key, value in equation.params.items()}
    same = all(parameters[key] is value for key, value in equation.params.items())
    return equation if same else equation.replace(params=parameters)


def with_equations(closed: Any, equations: Sequence[Any]) -> Any:
    """Return a traced function with other equations between the same inputs and outputs."""
    before = closed.jaxpr.eqns
    if len(before) == len(equations) and all(a is b for a, b in zip(before, equations, strict=True)):
        return closed
    return jex.ClosedJaxpr(closed.jaxpr.replace(eqns=list(equations)), closed.consts)


def _piece(f: Callable[[Array], Array], aval: Any) -> Any:
    # A new function each time, so that no two pieces share a variable.
    example = jax.ShapeDtypeStruct(aval.shape, aval.dtype)  # type: ignore[no-untyped-call]
    return jax.make_jaxpr(lambda x: f(x))(example).jaxpr


def _renamed(piece: Any, names: dict[Any, Any]) -> list[Any]:
    def name_of(variable: Any) -> Any:
        return variable if isinstance(variable, jex.Literal) else names.get(variable, variable)

    return [
        equation.replace(invars=[*map(name_of, equation.invars)], outvars=[*map(name_of, equation.outvars)])
        for equation in piece.eqns
    ]
