"""One interpreter for every kind of JAX model: it reads, edits and cuts short a traced function.

Layers are marked in the function by ``jax.ad_checkpoint.checkpoint_name``. The interpreter walks the traced equations, stops
after the last mark that is wanted, and goes inside jit, remat, custom derivatives and scan where marks or rectified linear
units are to be found there; everything else is executed as it stands.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from phosphene.errors import CoverageWarning
from phosphene.types import Array

__all__ = ["Taps", "interpret", "is_relu", "marks_in"]

INLINED = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint", "remat"}
)


_ALONE = jex.DebugInfo("phosphene", "one equation", None, None)
"""What JAX is told of the jaxprs that are made here."""


class Stop(Exception):
    """Nothing after this point is needed."""


@dataclass
class Taps:
    """What to do on the way, and what was found.

    Attributes
    ----------
    wanted : frozenset of str, or None
        Layers to keep; None keeps all and never stops.
    edits : mapping of str to callable
        Layer to ``f(activation) -> activation``.
    relu : callable, optional
        Stands in for rectified linear units.
    """

    wanted: frozenset[str] | None = None
    edits: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    relu: Callable[[Array], Array] | None = None
    values: dict[str, Array] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def take(self, name: str, value: Array) -> Array:
        """One mark: edit it, keep it, or stop."""
        call = self.calls[name]
        self.calls[name] += 1
        path = name if call == 0 else f"{name}#{call}"
        if path in self.edits:
            value = self.edits[path](value)
        if self.wanted is None or path in self.wanted:
            self.values[path] = value
            if self.wanted is not None and len(self.values) == len(self.wanted):
                raise Stop
        return value


def interpret(closed: Any, arguments: Sequence[Array], taps: Taps) -> list[Array] | None:
    """Execute a traced function under `taps`; its outputs, or None when it was cut short.

    Parameters
    ----------
    closed : ClosedJaxpr
    arguments : sequence of Array
        Flat.
    taps : Taps
        Filled on the way.
    """
    try:
        return _evaluate(closed, list(arguments), taps)
    except Stop:
        return None


def is_relu(equation: Any) -> bool:
    """Whether an equation is a rectified linear unit: ``jax.nn.relu``, or a maximum with the constant zero."""
    if equation.primitive.name == "custom_jvp_call":
        return _name_of(equation) == "relu"
    if equation.primitive.name == "max":
        return any(
            isinstance(variable, jex.Literal) and jnp.ndim(variable.val) == 0 and float(variable.val) == 0.0
            for variable in equation.invars
        )
    return False


def marks_in(jaxpr: Any) -> list[str]:
    """Names of all marks in a jaxpr and within its equations, in order, once each."""
    found: dict[str, None] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name":
            found[equation.params["name"]] = None
        for inner in inner_jaxprs(equation):
            found.update(dict.fromkeys(marks_in(inner.jaxpr)))
    return list(found)


def inner_jaxprs(equation: Any) -> list[Any]:
    """All closed jaxprs among an equation's parameters."""
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, jex.ClosedJaxpr):
                found.append(item)
            elif isinstance(item, jex.Jaxpr):
                found.append(jex.ClosedJaxpr(item, ()))
    return found


def _name_of(equation: Any) -> str:
    name = equation.params.get("name", "")
    inner = equation.params.get("call_jaxpr")
    if not name and inner is not None:
        info = getattr(inner.jaxpr, "debug_info", None)
        name = str(getattr(info, "func_name", "") or "")
    return str(name)


def _body(equation: Any) -> Any:
    """The one jaxpr that an equation wraps, or None."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(key)
        if inner is not None:
            return inner if isinstance(inner, jex.ClosedJaxpr) else jex.ClosedJaxpr(inner, ())
    return None


def _interesting(jaxpr: Any, relu: bool) -> bool:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name" or (relu and is_relu(equation)):
            return True
        if any(_interesting(inner.jaxpr, relu) for inner in inner_jaxprs(equation)):
            return True
    return False


def _evaluate(closed: Any, arguments: list[Array], taps: Taps) -> list[Array]:
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def value_of(variable: Any) -> Array:
        return variable.val if isinstance(variable, jex.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [value_of(variable) for variable in equation.invars]
        outputs = _execute(equation, inputs, taps)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [value_of(variable) for variable in jaxpr.outvars]


def _execute(equation: Any, inputs: list[Array], taps: Taps) -> Sequence[Array]:
    primitive = equation.primitive.name
    if primitive == "name":
        return [taps.take(equation.params["name"], inputs[0])]
    if taps.relu is not None and is_relu(equation):
        first_is_constant = isinstance(equation.invars[0], jex.Literal)
        return [taps.relu(inputs[1] if first_is_constant else inputs[0])]
    body = _body(equation)
    if any(_interesting(inner.jaxpr, taps.relu is not None) for inner in inner_jaxprs(equation)):
        if primitive in INLINED and body is not None:
            return _evaluate(body, inputs, taps)
        if primitive == "scan":
            return _scan(equation, body, inputs, taps)
        names = [name for inner in inner_jaxprs(equation) for name in marks_in(inner.jaxpr)]
        if names:
            warnings.warn(
                f"layers inside {primitive} cannot be read: {', '.join(names[:5])}", CoverageWarning, stacklevel=2
            )
    return _as_it_stands(equation, inputs)


def _as_it_stands(equation: Any, inputs: list[Array]) -> Sequence[Array]:
    """Execute one equation through public API: as a jaxpr of its own."""
    given: dict[Any, Array] = {}
    for variable, value in zip(equation.invars, inputs, strict=True):
        if not isinstance(variable, jex.Literal):
            given.setdefault(variable, value)
    alone = jex.Jaxpr((), list(given), list(equation.outvars), [equation], equation.effects, _ALONE)
    outputs: Sequence[Array] = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, ()))(*given.values())
    return outputs


def _scan(equation: Any, body: Any, inputs: list[Array], taps: Taps) -> list[Array]:
    """A scan whose iterations are calls: rebuilt so that each returns what it marked. It cannot be cut short."""
    constants, carried = equation.params["num_consts"], equation.params["num_carry"]
    length, reverse = equation.params["length"], equation.params["reverse"]
    fixed, start, xs = inputs[:constants], inputs[constants : constants + carried], inputs[constants + carried :]
    before = dict(taps.calls)
    names = marks_in(body.jaxpr)

    def edit_of(name: str, place: int, index: Array) -> Callable[[Array], Array]:
        # Every iteration runs the same program: an edit of one of them is chosen by its number.
        def edit(value: Array) -> Array:
            for iteration in range(length):
                call = before.get(name, 0) + iteration
                path = name if call == 0 else f"{name}#{call}"
                if path in taps.edits:
                    value = jnp.where(index == iteration, taps.edits[path](value), value)
            return value

        return edit

    def iterate(carry: list[Array], item: tuple[Array, list[Array]]) -> tuple[list[Array], Any]:
        index, rest = item
        inside = Taps(None, {name: edit_of(name, 0, index) for name in names}, taps.relu)
        outputs = _evaluate(body, [*fixed, *carry, *rest], inside)
        return outputs[:carried], (outputs[carried:], inside.values)

    order = jnp.arange(length)
    last, (stacked, marked) = jax.lax.scan(iterate, list(start), (order, list(xs)), length=length, reverse=reverse)
    steps = reversed(range(length)) if reverse else range(length)
    done = taps.edits
    taps.edits = {path: edit for path, edit in done.items() if path.partition("#")[0] not in names}
    for step in steps:
        for name in names:
            if name in marked:
                taps.take(name, marked[name][step])
    taps.edits = done
    return [*last, *stacked]
