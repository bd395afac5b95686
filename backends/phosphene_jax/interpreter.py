"""An interpreter for traced functions of any JAX model, which reads and edits layers and stops early.

Layers are marked in the function by ``jax.ad_checkpoint.checkpoint_name``. The interpreter executes the traced equations and
stops after the last wanted mark. It enters jit, remat, custom derivatives and scan if they contain marks or rectified linear
units; everything else is executed unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from phosphene.types import Array
from phosphene_jax.equations import (
    INLINED,
    Rectified,
    body_of,
    constants_inside,
    inner_jaxprs,
    nonlinearity,
    producers_of,
    units_of,
)
from phosphene_jax.paths import path_of

__all__ = ["Rules", "Taps", "interpret", "marks_in"]

CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})
"""Functions with a custom derivative, which is lost if the interpreter enters them to read a layer."""

_ALONE = (
    jex.DebugInfo("phosphene", "one equation", None, None)
    if hasattr(jex, "DebugInfo")
    else jax.make_jaxpr(lambda: ())().jaxpr.debug_info
)
"""Debug information of jaxprs made here; some versions of JAX have no public name for its class."""


class Stop(Exception):
    """Raised when all wanted layers have been read."""


class Rules(Protocol):
    """What replaces rectified linear units; it also follows something about each value through the equations."""

    def replaced(self, x: Array, found: Rectified, about: Any) -> Array | None:
        """Return the activation of pre-activation `x`, or None to keep the original."""
        ...

    def outputs(self, equation: Any, about: list[Any]) -> list[Any]:
        """Return what is known about the outputs of an equation from what is known about its inputs."""
        ...

    def inside(self, equation: Any, about: list[Any]) -> list[Any]:
        """Return what is known about the inputs of the body of an equation."""
        ...

    @property
    def fixed(self) -> Any:
        """What is known about a constant."""
        ...


@dataclass
class Taps:
    """The layers to read and edit, and the values that were read.

    Attributes
    ----------
    wanted : frozenset of str, or None
        Paths of the layers to read; None reads all and never stops.
    edits : mapping of str to callable
        Path of a layer to ``f(activation) -> activation``.
    rules : Rules, optional
        What replaces rectified linear units.
    stops : bool, default True
        Whether to stop after the last wanted layer.
    values : dict of str to Array
        Layers that were read, in forward order.
    missed : dict of str to None
        Messages about parts that could not be reached.
    unread : dict of str to str
        Names of marks that could not be reached, and the reason for each.
    """

    wanted: frozenset[str] | None = None
    edits: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    rules: Rules | None = None
    stops: bool = True
    values: dict[str, Array] = field(default_factory=dict)
    missed: dict[str, None] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def take(self, name: str, value: Array) -> Array:
        """Edit and keep the value of a mark if wanted; stop if it is the last one."""
        path = path_of(name, self.calls[name])
        self.calls[name] += 1
        if path in self.edits:
            value = self.edits[path](value)
        self.keep(path, value)
        return value

    def keep(self, path: str, value: Array) -> None:
        """Keep a layer if it is wanted, and stop if it is the last one."""
        if self.wanted is None or path in self.wanted:
            self.values[path] = value
            if self.stops and self.wanted is not None and len(self.values) == len(self.wanted):
                raise Stop


def interpret(closed: Any, arguments: Sequence[Array], taps: Taps, about: Sequence[Any] = ()) -> list[Array] | None:
    """Execute a traced function with `taps`; return its outputs, or None if it stopped early.

    Parameters
    ----------
    closed : ClosedJaxpr
    arguments : sequence of Array
        Flat list of the arguments.
    taps : Taps
        Receives the values that are read.
    about : sequence, default ()
        What `Taps.rules` knows about each argument.
    """
    try:
        return _evaluate(closed, list(arguments), taps, _Scope(list(about)))
    except Stop:
        return None


def marks_in(jaxpr: Any) -> list[str]:
    """Return the distinct names of all marks in a jaxpr and its inner jaxprs, in order."""
    found: dict[str, None] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name":
            found[equation.params["name"]] = None
        for inner in inner_jaxprs(equation):
            found.update(dict.fromkeys(marks_in(inner.jaxpr)))
    return list(found)


def _calls_in(jaxpr: Any) -> Iterator[str]:
    """Yield the names of marks in the order, and as often, as the interpreter executes them."""
    for equation in jaxpr.eqns:
        primitive = equation.primitive.name
        if primitive == "name":
            yield equation.params["name"]
        elif primitive in INLINED | CUSTOM | {"scan"}:
            body = body_of(equation)
            for _ in range(equation.params["length"] if primitive == "scan" else 1):
                yield from _calls_in(body.jaxpr)


def _has_rectifier(closed: Any, constants: Mapping[Any, Any]) -> bool:
    jaxpr = closed.jaxpr
    producers = producers_of(jaxpr, constants, closed.consts)
    if units_of(jaxpr, producers):
        return True
    for equation in jaxpr.eqns:
        if nonlinearity(equation, producers) is None and any(
            _has_rectifier(inner, constants_inside(equation, inner, producers)) for inner in inner_jaxprs(equation)
        ):
            return True
    return False


@dataclass
class _Scope:
    """What is known about the arguments of a traced function: for `Rules`, and the numbers of those that are constant."""

    about: list[Any] = field(default_factory=list)
    constants: Mapping[Any, Any] = field(default_factory=dict)


def _evaluate(closed: Any, arguments: list[Array], taps: Taps, scope: _Scope) -> list[Array]:
    jaxpr, rules = closed.jaxpr, taps.rules
    values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    producers = producers_of(jaxpr, scope.constants, closed.consts) if rules is not None else {}
    units = units_of(jaxpr, producers) if rules is not None else {}
    about = dict(zip(jaxpr.invars, scope.about, strict=True)) if rules is not None else {}

    def value_of(variable: Any) -> Array:
        return variable.val if isinstance(variable, jex.Literal) else values[variable]

    def about_of(variable: Any) -> Any:
        fixed = None if rules is None else rules.fixed
        return fixed if isinstance(variable, jex.Literal) else about.get(variable, fixed)

    for equation in jaxpr.eqns:
        inputs = [value_of(variable) for variable in equation.invars]
        known = [] if rules is None else [about_of(variable) for variable in equation.invars]
        outputs: Sequence[Array] | None = None
        if rules is not None and (found := units.get(id(equation))) is not None:
            replaced = rules.replaced(value_of(found.variable), found, about_of(found.variable))
            outputs = None if replaced is None else [replaced]
        if outputs is None:
            outputs = _execute(equation, inputs, taps, producers, known)
        values.update(zip(equation.outvars, outputs, strict=True))
        if rules is not None:
            about.update(zip(equation.outvars, rules.outputs(equation, known), strict=True))
    return [value_of(variable) for variable in jaxpr.outvars]


def _execute(
    equation: Any, inputs: list[Array], taps: Taps, producers: Mapping[Any, Any], known: list[Any]
) -> Sequence[Array]:
    primitive = equation.primitive.name
    if primitive == "name":
        return [taps.take(equation.params["name"], inputs[0])]
    inside = inner_jaxprs(equation)
    names = [name for inner in inside for name in marks_in(inner.jaxpr)]
    whole = taps.rules is None or nonlinearity(equation, producers) is not None
    units = not whole and any(_has_rectifier(inner, constants_inside(equation, inner, producers)) for inner in inside)
    if not names and not units:
        return _as_it_stands(equation, inputs)
    body = body_of(equation) if primitive in INLINED | CUSTOM | {"scan"} else None
    scope = _Scope()
    if taps.rules is not None and body is not None:
        scope = _Scope(taps.rules.inside(equation, known), constants_inside(equation, body, producers))
    if primitive in INLINED:
        return _evaluate(body, inputs, taps, scope)
    if primitive == "scan":
        return _scan(equation, body, inputs, taps, scope)
    if primitive in CUSTOM and names:
        taps.missed[f"{names[0]} is inside a function with a custom derivative, which is not used"] = None
        return _evaluate(body, inputs, taps, scope)
    if names:
        taps.unread.update(dict.fromkeys(names, f"it is inside {primitive}, which runs as a whole"))
        taps.missed[f"layers inside {primitive} cannot be read: {', '.join(names[:5])}"] = None
    if units:
        taps.missed[f"backward rules do not apply to rectified linear units inside {primitive}"] = None
    return _as_it_stands(equation, inputs)


def _as_it_stands(equation: Any, inputs: list[Array]) -> Sequence[Array]:
    """Execute one equation as a jaxpr of its own, by public functions only."""
    given: dict[Any, Array] = {}
    for variable, value in zip(equation.invars, inputs, strict=True):
        if not isinstance(variable, jex.Literal):
            given.setdefault(variable, value)
    alone = jex.Jaxpr((), list(given), list(equation.outvars), [equation], equation.effects, _ALONE)
    outputs: Sequence[Array] = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, ()))(*given.values())
    return outputs


def _scan(equation: Any, body: Any, inputs: list[Array], taps: Taps, scope: _Scope) -> list[Array]:
    """Execute a scan that also returns the marked values of each iteration. A scan cannot stop early.

    Every iteration runs the same program, in which a name is marked `each[name]` times. The mark `place` of iteration `k` is
    the call ``before[name] + k * each[name] + place`` of the whole function.
    """
    constants, carried = equation.params["num_consts"], equation.params["num_carry"]
    length, reverse = equation.params["length"], equation.params["reverse"]
    fixed, start, xs = inputs[:constants], inputs[constants : constants + carried], inputs[constants + carried :]
    before, sequence = Counter(taps.calls), list(_calls_in(body.jaxpr))
    each = Counter(sequence)
    places = {path_of(name, place): (name, place) for name in each for place in range(each[name])}

    def path_in(local: str, iteration: int) -> str:
        name, place = places[local]
        return path_of(name, before[name] + iteration * each[name] + place)

    def edit_of(changes: Mapping[int, Callable[[Array], Array]], index: Array) -> Callable[[Array], Array]:
        def edit(value: Array) -> Array:
            for iteration, change in changes.items():
                value = jnp.where(index == iteration, change(value), value)
            return value

        return edit

    edits: dict[str, dict[int, Callable[[Array], Array]]] = {}
    kept = set()
    for local in places:
        paths = {iteration: path_in(local, iteration) for iteration in range(length)}
        changes = {iteration: taps.edits[path] for iteration, path in paths.items() if path in taps.edits}
        if changes:
            edits[local] = changes
        if taps.wanted is None or not taps.wanted.isdisjoint(paths.values()):
            kept.add(local)

    def iterate(carry: list[Array], item: tuple[Array, list[Array]]) -> tuple[list[Array], Any]:
        index, rest = item
        changes = {local: edit_of(found, index) for local, found in edits.items()}
        inside = Taps(frozenset(kept), changes, taps.rules, stops=False)
        outputs = _evaluate(body, [*fixed, *carry, *rest], inside, scope)
        taps.missed.update(inside.missed)
        taps.unread.update(inside.unread)
        return outputs[:carried], (outputs[carried:], inside.values)

    order = jnp.arange(length)[::-1] if reverse else jnp.arange(length)
    last, (stacked, marked) = jax.lax.scan(iterate, list(start), (order, list(xs)), length=length, reverse=reverse)
    for iteration in range(length):
        seen: Counter[str] = Counter()
        for name in sequence:
            local = path_of(name, seen[name])
            seen[name] += 1
            taps.calls[name] += 1
            if local in marked:
                value = marked[local][length - 1 - iteration if reverse else iteration]
                taps.keep(path_in(local, iteration), value)
    return [*last, *stacked]
