"""Find attention maps in a traced function, and mark them as layers of the modules that compute them.

An attention map is the result of a softmax that a matrix product contracts with values along the axis of the softmax. The
product also determines the other axes: those shared with the values are the batch and the heads, and the remaining one is that
of the queries. Class probabilities are not followed by such a product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core as jex

from phosphene.layers import ATTENTION
from phosphene.types import Array
from phosphene_jax.equations import INLINED, Producers, body_of, nonlinearity, producers_of, source_of
from phosphene_jax.substitution import spliced_after, with_bodies, with_equations

__all__ = ["SCOPE", "with_attention"]

SCOPE = "phosphene:"
"""Prefix of the name of a module's scope; the module's path follows."""

ENTERED = INLINED | {"custom_jvp_call", "custom_vjp_call"}

Labels = tuple[int | None, ...]
"""For each axis of an array, the axis of the softmax that it corresponds to; None for axes that were added later."""


@dataclass(frozen=True)
class Roles:
    """Axes of an attention map: batch (none or one), windows, queries, keys, and heads (from major to minor)."""

    batch: tuple[int, ...]
    windows: tuple[int, ...]
    query: int
    key: int
    heads: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """All axes in the order in which the map is read; windows and heads are merged afterwards."""
        return (*self.batch, *self.windows, self.query, self.key, *self.heads)


@dataclass(frozen=True)
class Rest:
    """The remaining equations of a jaxpr, its outputs, the variables that depend on images, and a follow-up outside of it."""

    equations: Sequence[Any]
    outvars: Sequence[Any]
    seeing: set[Any]
    leaves: Leaves


@dataclass(frozen=True)
class Search:
    """The search for the matrix product that contracts a softmax of `rank` axes along its axis `key`."""

    rank: int
    key: int
    count: int | None

    def along(self, variable: Any, labels: Labels, rest: Rest) -> Roles | None:
        """Follow an array; return the roles of its axes, or None if there is no such product."""
        live: dict[Any, Labels] = {variable: labels}
        for place, equation in enumerate(rest.equations):
            for index, source in enumerate(equation.invars):
                if isinstance(source, jex.Literal) or source not in live:
                    continue
                if equation.primitive.name == "dot_general":
                    values = equation.invars[1 - index]
                    roles = self._roles(equation, index, live[source]) if values in rest.seeing else None
                elif equation.primitive.name in ENTERED:
                    body = body_of(equation).jaxpr
                    after = Rest(rest.equations[place + 1 :], rest.outvars, rest.seeing, rest.leaves)
                    seeing = _seeing(body, _given(equation, body, rest.seeing))
                    inner = Rest(body.eqns, body.outvars, seeing, partial(_outside, equation, after))
                    roles = self.along(body.invars[index - len(equation.invars)], live[source], inner)
                else:
                    roles = None
                    moved = _moved(equation, live[source])
                    if moved is not None:
                        live.setdefault(equation.outvars[0], moved)
                if roles is not None:
                    return roles
        for place, output in enumerate(rest.outvars):
            if not isinstance(output, jex.Literal) and output in live:
                roles = rest.leaves(place, live[output], self)
                if roles is not None:
                    return roles
        return None

    def _roles(self, equation: Any, index: int, labels: Labels) -> Roles | None:
        contracted, shared = equation.params["dimension_numbers"]
        if [labels[axis] for axis in contracted[index]] != [self.key]:
            return None
        # In the order of the corresponding axes of the values, whose first axis is the batch.
        pairs = sorted(zip(shared[1 - index], shared[index], strict=True))
        together = [label for _, axis in pairs if (label := labels[axis]) is not None]
        gone = {*contracted[index], *shared[index]}
        kept = [label for axis, label in enumerate(labels) if axis not in gone and label is not None]
        # Axes that are lost had length 1; for one image the batch axis is among them.
        lost = [axis for axis in range(self.rank) if axis not in labels]
        first = lost if self.count == 1 and lost else together
        if not kept or (self.count is not None and not first):
            return None
        batch: tuple[int, ...] = () if self.count is None else (first.pop(0),)
        # For one image, the shared axes in front of the heads are windows over which the model was mapped.
        windows = tuple(together[:-1]) if self.count is None else ()
        # Heads that share values, as in grouped queries, are not axes of the product; they are minor.
        heads = (*together[len(windows) :], *kept[:-1], *lost)
        return Roles(batch, windows, kept[-1], self.key, heads)


Leaves = Callable[[int, Labels, Search], "Roles | None"]
"""Follows an output of a jaxpr outside of it: ``(place, labels, search) -> roles``."""


def with_attention(closed: Any, *, count: int | None) -> Any:
    """Mark the attention maps of a traced function, with heads last: ``(N, queries, keys, heads)``.

    Parameters
    ----------
    closed : ClosedJaxpr
        Traced with a scope around each module, named `SCOPE` and the module's path.
    count : int, optional
        Number of images that it takes; None if it takes one image without a batch axis.

    Returns
    -------
    ClosedJaxpr
    """
    return _marked(closed, {closed.jaxpr.invars[-1]}, None, count, _lost)


def _marked(closed: Any, given: set[Any], inside: str | None, count: int | None, leaves: Leaves) -> Any:
    """`given` are the inputs that depend on images; `inside` is the enclosing module, of which bodies have no scope."""
    jaxpr = closed.jaxpr
    producers, seeing = producers_of(jaxpr), _seeing(jaxpr, given)
    equations: list[Any] = []
    for place, equation in enumerate(jaxpr.eqns):
        path = _module(equation, inside)
        after = partial(_rest, jaxpr, place, seeing, leaves)
        if path is not None and nonlinearity(equation, producers) == "softmax":
            roles = _roles_of(equation, producers, after(), count)
            equations += [equation] if roles is None else spliced_after(equation, _marking(path + ATTENTION, roles))
        elif equation.primitive.name in INLINED or equation.primitive.name == "scan":
            # Outputs of an iteration of a scan are stacked or carried, and are not followed.
            onward = _lost if equation.primitive.name == "scan" else partial(_outside, equation, after())
            enter = partial(_entered, equation, seeing, path, count, onward)
            equations.append(with_bodies(equation, enter))
        else:
            equations.append(equation)
    return with_equations(closed, equations)


def _entered(equation: Any, seeing: set[Any], path: str | None, count: int | None, leaves: Leaves, body: Any) -> Any:
    return _marked(body, _given(equation, body.jaxpr, seeing), path, count, leaves)


def _rest(jaxpr: Any, place: int, seeing: set[Any], leaves: Leaves) -> Rest:
    return Rest(jaxpr.eqns[place + 1 :], jaxpr.outvars, seeing, leaves)


def _given(equation: Any, body: Any, seeing: set[Any]) -> set[Any]:
    """Inputs of an equation's body that depend on the images."""
    pairs = zip(reversed(body.invars), reversed(equation.invars), strict=False)
    return {inner for inner, outer in pairs if not isinstance(outer, jex.Literal) and outer in seeing}


def _seeing(jaxpr: Any, given: set[Any]) -> set[Any]:
    """Variables of a jaxpr that depend on the images, given its inputs that do."""
    found = set(given)
    for equation in jaxpr.eqns:
        if any(not isinstance(variable, jex.Literal) and variable in found for variable in equation.invars):
            found.update(equation.outvars)
    return found


def _outside(equation: Any, after: Rest, place: int, labels: Labels, search: Search) -> Roles | None:
    return search.along(equation.outvars[place], labels, after)


def _lost(place: int, labels: Labels, search: Search) -> None:
    return None


def _module(equation: Any, inside: str | None) -> str | None:
    """The path of the innermost module that contains an equation, or None."""
    names = [getattr(part, "name", "") for part in equation.source_info.name_stack.stack]
    return next((name.removeprefix(SCOPE) for name in reversed(names) if name.startswith(SCOPE)), inside)


def _roles_of(equation: Any, producers: Producers, after: Rest, count: int | None) -> Roles | None:
    key = _softmax_axis(equation, producers)
    if key is None or len(equation.outvars) != 1:
        return None
    output = equation.outvars[0]
    return Search(output.aval.ndim, key, count).along(output, tuple(range(output.aval.ndim)), after)


def _softmax_axis(equation: Any, producers: Producers) -> int | None:
    """The axis along which a softmax sums, found from its divisor, or inside of it."""
    if equation.primitive.name == "div":
        total = source_of(equation.invars[1], producers)
        axes: Sequence[int] = () if total is None else total.params.get("axes", ())
        return int(axes[0]) if len(axes) == 1 else None
    body = body_of(equation)
    within = {} if body is None else producers_of(body.jaxpr)
    for inner in () if body is None else body.jaxpr.eqns:
        if nonlinearity(inner, within) == "softmax" and (axis := _softmax_axis(inner, within)) is not None:
            return axis
    return None


def _moved(equation: Any, labels: Labels) -> Labels | None:
    """Labels after an equation that moves axes, adds axes of length 1, or keeps all axes."""
    primitive, params = equation.primitive.name, equation.params
    shape = equation.outvars[0].aval.shape
    if primitive == "transpose":
        return tuple(labels[axis] for axis in params["permutation"])
    if primitive == "broadcast_in_dim":
        back: Mapping[int, int] = {int(to): axis for axis, to in enumerate(params["broadcast_dimensions"])}
        return tuple(labels[back[axis]] if axis in back else None for axis in range(len(shape)))
    if primitive == "squeeze":
        return tuple(label for axis, label in enumerate(labels) if axis not in params["dimensions"])
    if primitive == "reshape":
        before = [(side, label) for side, label in zip(equation.invars[0].aval.shape, labels, strict=True) if side != 1]
        if [side for side, _ in before] != [side for side in shape if side != 1]:
            return None
        given = iter(label for _, label in before)
        return tuple(next(given) if side != 1 else None for side in shape)
    return labels if shape == equation.invars[0].aval.shape or len(shape) == len(labels) else None


def _marking(name: str, roles: Roles) -> Callable[[Array], Array]:
    def mark(weights: Array) -> Array:
        def size(axes: Sequence[int]) -> int:
            return math.prod(weights.shape[axis] for axis in axes)

        front = [size(roles.batch)] if roles.batch else []
        front += [size(roles.windows)] if size(roles.windows) > 1 else []
        shape = (*front, weights.shape[roles.query], weights.shape[roles.key], size(roles.heads))
        ordered = jnp.transpose(weights, roles.order)
        marked = checkpoint_name(jnp.reshape(ordered, shape), name)  # type: ignore[no-untyped-call]
        back = sorted(range(len(roles.order)), key=lambda place: roles.order[place])
        return jnp.transpose(jnp.reshape(marked, ordered.shape), back)

    return mark
