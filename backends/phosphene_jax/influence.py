"""What the layers of a traced function depend on: random draws, and the other images of a batch.

Both are read from the traced equations, which costs milliseconds; compiling a network to compare its numbers costs seconds. A draw
reaches a layer if a path of equations leads from one to the other.

Images are followed by tracing the function for one image and for two (or two and four): the axis that is twice as long is that
of the images. A value that depends on images and has no such axis, or two, has mixed them, and so has an operation along that
axis. Where an operation is not known to keep images apart, the layers behind it are in doubt, and only then are numbers
compared: the rows of one image beside two different others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jax.extend import core as jex

from phosphene_jax.equations import INLINED, body_of, inner_jaxprs
from phosphene_jax.interpreter import CUSTOM
from phosphene_jax.paths import path_of

__all__ = ["draws_numbers", "in_doubt", "reached_by"]

ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp clz conj convert_element_type copy copy_p cos cosh "
    "device_put digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma igammac imag integer_pow is_finite le lgamma log "
    "log1p logistic lt max min mul name ne neg nextafter not optimization_barrier or phosphene_front pow real reduce_precision rem "
    "round rsqrt select_n sharding_constraint shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor".split()
)
"""Operations on each value alone; a select takes a condition of the same shape, or a single one."""

ARRANGING = frozenset(
    "argmax argmin broadcast_in_dim expand_dims reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum squeeze "
    "transpose".split()
)
"""Operations that keep or remove whole axes: where the axis of the images remains, they keep images apart."""

ALONG = {
    "sort": "dimension",
    "rev": "dimensions",
    "concatenate": "dimension",
    "split": "axis",
    "top_k": None,
} | dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), "axis")
"""Operations along one axis, and the parameter that names it; None for the last axis."""

WINDOWS = frozenset("reduce_window reduce_window_sum reduce_window_max reduce_window_min select_and_gather_add".split())

Pair = tuple[Any, Any]
"""An equation, or a variable, of the function traced for one image and for two."""


def draws_numbers(jaxpr: Any) -> bool:
    """Whether a jaxpr, or one inside of it, generates random numbers."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in ("random_bits", "threefry2x32") or name.startswith("rng_"):
            return True
        if any(draws_numbers(inner.jaxpr) for inner in inner_jaxprs(equation)):
            return True
    return False


def reached_by(closed: Any, place: int) -> list[str]:
    """Return the names of the marks that depend on the argument `place` of a traced function."""
    found: dict[str, None] = {}
    _spread(closed.jaxpr, {closed.jaxpr.invars[place]}, found)
    return list(found)


def _spread(jaxpr: Any, reached: set[Any], found: dict[str, None]) -> set[Any]:
    """Add all variables that depend on those in `reached`, and all marks to `found`."""
    for equation in jaxpr.eqns:
        into = [not isinstance(variable, jex.Literal) and variable in reached for variable in equation.invars]
        if not any(into):
            continue
        if equation.primitive.name == "name":
            found[equation.params["name"]] = None
        body = body_of(equation) if equation.primitive.name in INLINED | CUSTOM else None
        if body is None:
            for inner in inner_jaxprs(equation):  # loops and branches: all that is inside
                _spread(inner.jaxpr, set(inner.jaxpr.invars), found)
            reached.update(equation.outvars)
            continue
        given = into[len(into) - len(body.jaxpr.invars) :]
        inside = {variable for variable, one in zip(body.jaxpr.invars, given, strict=True) if one}
        inside = _spread(body.jaxpr, inside, found)
        reached.update(
            outer
            for outer, inner in zip(equation.outvars, body.jaxpr.outvars, strict=True)
            if not isinstance(inner, jex.Literal) and inner in inside
        )
    return reached


@dataclass
class _Marks:
    """Marks that were passed: how often each one, and those behind an operation that may mix images."""

    calls: Counter[str] = field(default_factory=Counter)
    doubtful: list[str] = field(default_factory=list)


APART, DOUBT = False, True
"""Whether a variable that depends on images may depend on several; others are not listed."""


def in_doubt(alone: Any, together: Any) -> list[str] | None:
    """Return the paths of marks in which images of a batch may influence each other.

    Parameters
    ----------
    alone, together : ClosedJaxpr
        A function of weights and, as the last argument, images; traced for some images and for twice as many.

    Returns
    -------
    list of str, or None
        None if the two differ in more than the number of images, so that all marks are in doubt.
    """
    one, two = alone.jaxpr, together.jaxpr
    marks = _Marks()
    try:
        _follow(one, two, {one.invars[-1]: APART}, marks)
    except _Different:
        return None
    return marks.doubtful


class _Different(Exception):
    """The two traces are not of the same equations."""


def _follow(one: Any, two: Any, state: dict[Any, bool], marks: _Marks) -> dict[Any, bool]:
    if len(one.eqns) != len(two.eqns):
        raise _Different
    for pair in zip(one.eqns, two.eqns, strict=True):
        if pair[0].primitive.name != pair[1].primitive.name:
            raise _Different
        _step(pair, state, marks)
    return state


def _step(pair: Pair, state: dict[Any, bool], marks: _Marks) -> None:
    equation = pair[0]
    inputs = [None if isinstance(variable, jex.Literal) else state.get(variable) for variable in equation.invars]
    primitive = equation.primitive.name
    if primitive in INLINED | CUSTOM:
        outputs = _inside(pair, inputs, marks)
    elif primitive == "scan":
        outputs = _scan(pair, inputs, marks)
    elif all(one is None for one in inputs):
        outputs = [None for _ in equation.outvars]
    else:
        doubt = DOUBT in inputs or _mixes(pair, inputs)
        outputs = [doubt or _rows(out) is None for out in zip(equation.outvars, pair[1].outvars, strict=True)]
    if primitive == "name":
        name = equation.params["name"]
        path = path_of(name, marks.calls[name])
        marks.calls[name] += 1
        if outputs[0]:
            marks.doubtful.append(path)
    state.update({out: one for out, one in zip(equation.outvars, outputs, strict=True) if one is not None})


def _inside(pair: Pair, inputs: list[bool | None], marks: _Marks) -> list[bool | None]:
    bodies = [body_of(equation).jaxpr for equation in pair]
    given = inputs[len(inputs) - len(bodies[0].invars) :]
    state = {v: one for v, one in zip(bodies[0].invars, given, strict=True) if one is not None}
    state = _follow(bodies[0], bodies[1], state, marks)
    return [None if isinstance(out, jex.Literal) else state.get(out) for out in bodies[0].outvars]


def _scan(pair: Pair, inputs: list[bool | None], marks: _Marks) -> list[bool | None]:
    """Iterations are calls of one body; what is carried depends on more after each of them, until nothing changes."""
    fixed, carried = pair[0].params["num_consts"], pair[0].params["num_carry"]
    bodies = [equation.params["jaxpr"].jaxpr for equation in pair]
    if pair[0].params["length"] != pair[1].params["length"]:
        # The images are what is gone through.
        inputs = [None if one is None else DOUBT for one in inputs]
    else:
        along = zip(bodies[0].invars, bodies[1].invars, inputs, strict=True)
        inputs = [one if one is None else one or _rows((a, b)) is None for a, b, one in along]
    while True:
        inside = _Marks(Counter(marks.calls))
        state = {v: one for v, one in zip(bodies[0].invars, inputs, strict=True) if one is not None}
        state = _follow(bodies[0], bodies[1], state, inside)
        outputs = [None if isinstance(out, jex.Literal) else state.get(out) for out in bodies[0].outvars]
        before = inputs[fixed : fixed + carried]
        after = [_worse(a, b) for a, b in zip(before, outputs[:carried], strict=True)]
        if before == after:
            break
        inputs[fixed : fixed + carried] = after
    length = pair[0].params["length"]
    each = {name: (count - marks.calls[name]) * length for name, count in inside.calls.items()}
    if inside.doubtful:  # in one iteration, so in all
        marks.doubtful += [path_of(name, marks.calls[name] + k) for name in each for k in range(each[name])]
    marks.calls.update(each)
    return outputs


def _worse(one: bool | None, other: bool | None) -> bool | None:
    return other if one is None else one if other is None else one or other


def _rows(pair: Pair) -> int | None:
    """The axis of the images of a variable: the only one that is twice as long for two images."""
    one, two = (tuple(variable.aval.shape) for variable in pair)
    if len(one) != len(two):
        return None
    longer = [axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    return longer[0] if len(longer) == 1 and two[longer[0]] == 2 * one[longer[0]] else None


def _mixes(pair: Pair, inputs: Sequence[bool | None]) -> bool:
    """Whether an operation on values that depend on images is not known to keep images apart."""
    equation = pair[0]
    primitive = equation.primitive.name
    rows = [
        None if one is None else _rows(variables)
        for variables, one in zip(zip(equation.invars, pair[1].invars, strict=True), inputs, strict=True)
    ]
    if any(one is not None and axis is None for one, axis in zip(inputs, rows, strict=True)):
        return True
    out = _rows((equation.outvars[0], pair[1].outvars[0]))
    if primitive in ELEMENTWISE:
        return any(axis not in (None, out) for axis in rows)
    if primitive in ARRANGING:
        return False
    rule = KEPT.get(primitive, _unknown)
    return not rule(equation, rows, out)


def _unknown(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    return False


def _along(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    key = ALONG[equation.primitive.name]
    axes = equation.invars[0].aval.ndim - 1 if key is None else equation.params[key]
    used = axes if isinstance(axes, tuple) else (axes,)
    return all(axis is None or axis not in used for axis in rows)


def _product(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    summed, shared = equation.params["dimension_numbers"]
    if None in rows:
        return all(axis not in summed[side] for side, axis in enumerate(rows))
    return all(axis in shared[side] for side, axis in enumerate(rows)) and (
        list(shared[0]).index(rows[0]) == list(shared[1]).index(rows[1])
    )


def _convolution(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    numbers = equation.params["dimension_numbers"]
    alone = rows[1] is None and equation.params.get("batch_group_count", 1) == 1
    return alone and rows[0] == numbers.lhs_spec[0] and out == numbers.out_spec[0]


def _windows(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    return all(axis is None or equation.params["window_dimensions"][axis] == 1 for axis in rows)


def _reshape(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    """The values of an image stay together if as many come in front of the axis of the images as before."""
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return out is not None and rows[0] is not None and math.prod(before[: rows[0]]) == math.prod(after[:out])


def _slice(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    axis, params = rows[0], equation.params
    whole = axis is not None and params["limit_indices"][axis] - params["start_indices"][axis]
    return axis is not None and axis == out and whole == equation.invars[0].aval.shape[axis]


def _dynamic(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    """A slice, or an update of one, that takes all images; where it starts may not depend on them."""
    axis, *rest = rows
    piece = equation.outvars[0] if equation.primitive.name == "dynamic_slice" else equation.invars[1]
    whole = equation.invars[0].aval.shape
    starts = rest if equation.primitive.name == "dynamic_slice" else rest[1:]
    return (
        axis is not None
        and axis == out
        and piece.aval.shape[axis] == whole[axis]
        and all(start is None for start in starts)
    )


def _pad(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    axis = rows[0]
    return axis is not None and rows[1] is None and tuple(equation.params["padding_config"][axis]) == (0, 0, 0)


def _gather(equation: Any, rows: Sequence[int | None], out: int | None) -> bool:
    """A lookup in weights, or one that takes the same positions of every image."""
    values, places = rows
    if values is None:
        return True
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if values in getattr(numbers, "operand_batching_dims", ()):
        at = list(numbers.operand_batching_dims).index(values)
        return places is None or places == numbers.start_indices_batching_dims[at]
    return places is None and sizes[values] == equation.invars[0].aval.shape[values]


KEPT: Mapping[str, Callable[[Any, Sequence[int | None], int | None], bool]] = {
    **dict.fromkeys(ALONG, _along),
    **dict.fromkeys(WINDOWS, _windows),
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "dynamic_slice": _dynamic,
    "dynamic_update_slice": _dynamic,
    "gather": _gather,
    "iota": lambda equation, rows, out: True,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
}
"""For each operation that moves or combines positions, whether it keeps images apart, from the axes of the images."""
