"""Which equations of a traced function are on the way from its inputs to its outputs, as gradients see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend import core as jex

from phosphene_jax.equations import CALLS, INLINED, body_of

__all__ = ["Way"]


class Way:
    """The equations of a jaxpr that depend on some of its inputs, and on which some of its outputs depend.

    Integers and what is behind a ``stop_gradient`` do not depend on anything. Loops and branches count as a whole, scans do not.

    Parameters
    ----------
    jaxpr : Jaxpr
    moving : sequence of bool
        Which inputs are differentiated.
    wanted : sequence of bool
        Which outputs are of interest.
    """

    def __init__(self, jaxpr: Any, moving: Sequence[bool], wanted: Sequence[bool]) -> None:
        self.moving = {variable for variable, flag in zip(jaxpr.invars, moving, strict=True) if flag}
        for equation in jaxpr.eqns:
            flags = _moving_outputs(equation, self._flags(self.moving, equation.invars))
            self.moving.update(out for out, flag in zip(equation.outvars, flags, strict=True) if flag)
        self.wanted = {
            variable
            for variable, flag in zip(jaxpr.outvars, wanted, strict=True)
            if flag and not isinstance(variable, jex.Literal)
        }
        for equation in reversed(jaxpr.eqns):
            if self.passes(equation):
                flags = _wanted_inputs(equation, *self.through(equation))
                pairs = zip(equation.invars, flags, strict=True)
                self.wanted.update(into for into, flag in pairs if flag and not isinstance(into, jex.Literal))
        self.inputs = self._flags(self.wanted, jaxpr.invars)
        self.outputs = self._flags(self.moving, jaxpr.outvars)

    def passes(self, equation: Any) -> bool:
        """Whether an equation is on the way."""
        return any(variable in self.moving and variable in self.wanted for variable in equation.outvars)

    def through(self, equation: Any) -> tuple[list[bool], list[bool]]:
        """Return which inputs of an equation depend on those of the jaxpr, and which of its outputs are wanted."""
        return self._flags(self.moving, equation.invars), self._flags(self.wanted, equation.outvars)

    def inside(self, equation: Any, inner: Any) -> Way:
        """Return the way through a body of an equation that is on the way."""
        moving, wanted = self.through(equation)
        if equation.primitive.name == "scan":
            return _iterated(equation, moving, wanted)
        if _has_same_inputs(equation, inner):
            return Way(inner.jaxpr, moving, wanted)
        jaxpr = inner.jaxpr
        return Way(jaxpr, [True] * len(jaxpr.invars), [True] * len(jaxpr.outvars))

    @staticmethod
    def _flags(known: set[Any], variables: Sequence[Any]) -> list[bool]:
        return [not isinstance(variable, jex.Literal) and variable in known for variable in variables]


def _moving_outputs(equation: Any, moving: list[bool]) -> list[bool]:
    if not any(moving) or equation.primitive.name == "stop_gradient":
        return [False] * len(equation.outvars)
    body = body_of(equation)
    everything = [True] * len(equation.outvars)
    if equation.primitive.name == "scan":
        flags = _iterated(equation, moving, everything).outputs
    elif body is not None and _has_same_inputs(equation, body):
        flags = Way(body.jaxpr, moving, everything).outputs
    else:
        flags = everything
    floats = [jnp.issubdtype(out.aval.dtype, jnp.inexact) for out in equation.outvars]
    return [flag and real for flag, real in zip(flags, floats, strict=True)]


def _wanted_inputs(equation: Any, moving: list[bool], wanted: list[bool]) -> list[bool]:
    body = body_of(equation)
    if equation.primitive.name == "scan":
        return _iterated(equation, moving, wanted).inputs
    if body is not None and _has_same_inputs(equation, body):
        return Way(body.jaxpr, moving, wanted).inputs
    return [True] * len(equation.invars)


def _has_same_inputs(equation: Any, body: Any) -> bool:
    jaxpr = body.jaxpr
    same = len(jaxpr.invars) == len(equation.invars) and len(jaxpr.outvars) == len(equation.outvars)
    return equation.primitive.name in INLINED | CALLS and same


def _iterated(equation: Any, moving: list[bool], wanted: list[bool]) -> Way:
    """The way through the body of a scan, whose carried values go round."""
    fixed, carried = equation.params["num_consts"], equation.params["num_carry"]
    body = equation.params["jaxpr"].jaxpr
    moving, wanted = list(moving), list(wanted)
    while True:
        way = Way(body, moving, wanted)
        grown = False
        for place in range(carried):
            if way.outputs[place] and not moving[fixed + place]:
                moving[fixed + place] = grown = True
            if way.inputs[fixed + place] and not wanted[place]:
                wanted[place] = grown = True
        if not grown:
            return way
