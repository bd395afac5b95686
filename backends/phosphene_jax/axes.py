"""Track the channel axis of every layer through the equations, starting from the images.

Convolutions state their channel axis. A matrix product that sums channels against weights makes channels of the weights' other
axis. Operations that move, split or merge axes transform the layout. Products of two arrays that both depend on the images
(attention) keep the channels. An axis that cannot be determined is unknown; nothing is guessed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jax.extend import core as jex

from phosphene.layers import ATTENTION
from phosphene.layouts import Axis, Layout
from phosphene_jax.equations import INLINED, body_of
from phosphene_jax.interpreter import CUSTOM
from phosphene_jax.paths import path_of

__all__ = ["CHANNELS", "FIXED", "ROWS", "Following", "Known", "axes_of_marks"]

FIXED = Layout(())
"""Marks, by identity, arrays that do not depend on the images but only on weights and constants."""

Known = Layout | None
"""The layout of an array, or None if it is unknown."""

Stated = Callable[[str], "int | None"]
Seen = list[tuple[str, Known]]
Step = Callable[[Any, list[Known], tuple[int, ...]], Known]


@dataclass(frozen=True)
class Following:
    """How axes of one kind are followed through equations: the channels, or the rows of the images.

    Attributes
    ----------
    rules : mapping of str to callable
        ``(equation, layouts of its inputs, shape of the result) -> layout`` by primitive. Others keep the layout of their input.
    stated : callable, optional
        ``name of a mark -> axis or None``: axes stated by the user, which take precedence.
    """

    rules: Mapping[str, Step]
    stated: Stated | None = None

    def outputs(self, equation: Any, inputs: list[Known]) -> list[Known]:
        """Return the layouts of the outputs of an equation."""
        return _step(equation, inputs, self, [])

    def inside(self, equation: Any, inputs: list[Known]) -> list[Known]:
        """Return the layouts of the inputs of the body of an equation that groups equations, or of a scan."""
        if equation.primitive.name == "scan":
            return _iterated(equation, inputs, self)[0]
        return inputs[len(inputs) - len(body_of(equation).jaxpr.invars) :]


def axes_of_marks(closed: Any, stated: Stated) -> dict[str, int | None]:
    """Return the channel axis of each mark, from the left, by layer path; None if it is unknown.

    Parameters
    ----------
    closed : ClosedJaxpr
        A function of weights and, as its last argument, images ``(N, H, W, C)``.
    stated : callable
        ``path -> axis or None``: axes stated by the user, which take precedence.

    Returns
    -------
    dict of str to int or None
        In the order of execution.
    """
    *weights, images = closed.jaxpr.invars
    seen: Seen = []
    given = [*(FIXED for _ in weights), Layout.of(images.aval.shape, -1)]
    _follow(closed.jaxpr, given, replace(CHANNELS, stated=stated), seen)
    calls: Counter[str] = Counter()
    axes: dict[str, int | None] = {}
    for name, layout in seen:
        axes[path_of(name, calls[name])] = None if layout is None else layout.channel
        calls[name] += 1
    return axes


def _follow(jaxpr: Any, inputs: Sequence[Known], how: Following, seen: Seen) -> list[Known]:
    known: dict[Any, Known] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(variable: Any) -> Known:
        return FIXED if isinstance(variable, jex.Literal) else known.get(variable, FIXED)

    for equation in jaxpr.eqns:
        outputs = _step(equation, [of(variable) for variable in equation.invars], how, seen)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [of(variable) for variable in jaxpr.outvars]


def _step(equation: Any, inputs: list[Known], how: Following, seen: Seen) -> list[Known]:
    primitive, params = equation.primitive.name, equation.params
    if primitive == "name":
        layout = inputs[0] if how.stated is None else _stated(equation, inputs[0], how.stated(params["name"]))
        seen.append((params["name"], layout))
        return [layout]
    if primitive in INLINED | CUSTOM:
        body = body_of(equation).jaxpr
        return _follow(body, inputs[len(inputs) - len(body.invars) :], how, seen)
    if primitive == "scan":
        return _scan(equation, inputs, how, seen)
    if primitive == "cond":
        return _follow(params["branches"][0].jaxpr, inputs[1:], how, [])
    if primitive == "while":
        return _follow(params["body_jaxpr"].jaxpr, inputs[params["cond_nconsts"] :], how, [])
    if all(layout is FIXED for layout in inputs):
        return [FIXED for _ in equation.outvars]
    rule = how.rules.get(primitive, _kept)
    return [rule(equation, inputs, tuple(output.aval.shape)) for output in equation.outvars]


def _stated(equation: Any, layout: Known, axis: int | None) -> Known:
    shape = equation.invars[0].aval.shape
    if equation.params["name"].endswith(ATTENTION):
        axis = -1  # the heads
    return layout if axis is None or not -len(shape) <= axis < len(shape) else Layout.of(shape, axis)


def _scan(equation: Any, inputs: list[Known], how: Following, seen: Seen) -> list[Known]:
    fixed, carried = equation.params["num_consts"], equation.params["num_carry"]
    given, outputs, inside = _iterated(equation, inputs, how)
    seen += inside * equation.params["length"]
    stacked = zip(outputs[carried:], equation.outvars[carried:], strict=True)
    return [*given[fixed : fixed + carried], *(_stacked(layout, out.aval.shape) for layout, out in stacked)]


def _iterated(equation: Any, inputs: list[Known], how: Following) -> tuple[list[Known], list[Known], Seen]:
    """Iterations are calls of one body; the layout of a carried array may become known after an iteration."""
    fixed, carried = equation.params["num_consts"], equation.params["num_carry"]
    body = equation.params["jaxpr"].jaxpr
    carry, along = inputs[fixed : fixed + carried], [_unstacked(layout) for layout in inputs[fixed + carried :]]
    for _ in range(3):
        inside: Seen = []
        outputs = _follow(body, [*inputs[:fixed], *carry, *along], how, inside)
        following = [
            after if before is FIXED or before is None else before
            for before, after in zip(carry, outputs[:carried], strict=True)
        ]
        if all(before is after for before, after in zip(carry, following, strict=True)):
            break
        carry = following
    return [*inputs[:fixed], *carry, *along], outputs, inside


def _unstacked(layout: Known) -> Known:
    return layout if layout is None or layout is FIXED else layout.picked(range(1, len(layout.axes)))


def _stacked(layout: Known, shape: Sequence[int]) -> Known:
    return layout if layout is None or layout is FIXED else layout.picked([None, *range(len(shape) - 1)]).resized(shape)


def _kept(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    """The layout of the input most like the result: elementwise operations, pooling, slices, concatenations."""
    known = [
        (variable.aval.shape, layout)
        for variable, layout in zip(equation.invars, inputs, strict=True)
        if layout is not None and layout is not FIXED
    ]
    ranked = sorted(known, key=lambda item: (item[0] != shape, len(item[0]) != len(shape)))
    return ranked[0][1].resized(shape) if ranked else None


def _convolution(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    return Layout.of(shape, equation.params["dimension_numbers"].out_spec[1])


def _product(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    """An axis keeps its layout; axes of weights are channels if channels are summed against the weights."""
    summed, shared = equation.params["dimension_numbers"]
    fixed = [side for side in (0, 1) if inputs[side] is FIXED]
    free = [
        [axis for axis in range(equation.invars[side].aval.ndim) if axis not in (*summed[side], *shared[side])]
        for side in (0, 1)
    ]
    if None in inputs:
        # A product with weights has their axes as channels; the product of two arrays that depend on images is unknown.
        start = len(shared[0]) + (len(free[0]) if fixed == [1] else 0)
        return Layout.of(shape, *range(start, start + len(free[fixed[0]]))) if fixed and free[fixed[0]] else None
    made = any(
        layout.holds(axis)
        for side, layout in enumerate(inputs)
        if layout and side not in fixed
        for axis in summed[side]
    )

    def brought(side: int, axis: int) -> Axis:
        layout = inputs[side]
        if layout is None or side in fixed:
            return ((int(equation.invars[side].aval.shape[axis]), made),)
        return layout.axes[axis]

    ours = 1 if fixed == [0] else 0
    axes = [brought(ours, axis) for axis in shared[ours]]
    return Layout((*axes, *(brought(side, axis) for side in (0, 1) for axis in free[side])))


def _rows_of_convolution(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    """Rows stay rows."""
    images, numbers = inputs[0], equation.params["dimension_numbers"]
    if images is None or images is FIXED or equation.params["batch_group_count"] != 1:
        return None
    axes = list(Layout.of(shape).axes)
    axes[numbers.out_spec[0]] = images.axes[numbers.lhs_spec[0]]
    return Layout(tuple(axes))


def _rows_of_product(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    """Axes that are not summed stay what they are."""
    if None in inputs:
        return None
    summed, shared = equation.params["dimension_numbers"]

    def brought(side: int, axis: int) -> Axis:
        layout = inputs[side]
        if layout is None or layout is FIXED:
            return ((int(equation.invars[side].aval.shape[axis]), False),)
        return layout.axes[axis]

    ours = 1 if inputs[0] is FIXED else 0
    free = [
        (side, axis)
        for side in (0, 1)
        for axis in range(equation.invars[side].aval.ndim)
        if axis not in (*summed[side], *shared[side])
    ]
    return Layout((*(brought(ours, axis) for axis in shared[ours]), *(brought(side, axis) for side, axis in free)))


def _rows_of_gather(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    return None if inputs[0] is FIXED else _gather(equation, inputs, shape)


def _gather(equation: Any, inputs: list[Known], shape: tuple[int, ...]) -> Known:
    """A lookup in weights has their last axis as channels; one in an activation keeps all axes that are not indexed."""
    numbers = equation.params["dimension_numbers"]
    gone = {*numbers.collapsed_slice_dims, *getattr(numbers, "operand_batching_dims", ())}
    left = iter([axis for axis in range(equation.invars[0].aval.ndim) if axis not in gone])
    if inputs[0] is FIXED:
        return Layout.of(shape, numbers.offset_dims[-1]) if numbers.offset_dims else None
    order = [next(left) if axis in numbers.offset_dims else None for axis in range(len(shape))]
    return None if inputs[0] is None else inputs[0].picked(order).resized(shape)


def _first(
    rule: Callable[[Any, Layout, tuple[int, ...]], Known],
) -> Callable[[Any, list[Known], tuple[int, ...]], Known]:
    """Return a rule for operations on one array."""
    return lambda equation, inputs, shape: (
        None if inputs[0] is None or inputs[0] is FIXED else rule(equation, inputs[0], shape)
    )


def _without(layout: Layout, axes: Sequence[int]) -> Layout:
    return layout.picked([axis for axis in range(len(layout.axes)) if axis not in axes])


def _broadcast(equation: Any, layout: Layout, shape: tuple[int, ...]) -> Known:
    back = {int(to): axis for axis, to in enumerate(equation.params["broadcast_dimensions"])}
    return layout.picked([back.get(axis) for axis in range(len(shape))]).resized(shape)


_reduce = _first(lambda equation, layout, shape: _without(layout, equation.params["axes"]))

RULES: Mapping[str, Step] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "gather": _gather,
    "broadcast_in_dim": _first(_broadcast),
    "reshape": _first(lambda equation, layout, shape: layout.reshaped(shape)),
    "squeeze": _first(lambda equation, layout, shape: _without(layout, equation.params["dimensions"])),
    "transpose": _first(lambda equation, layout, shape: layout.picked(equation.params["permutation"])),
    **{f"reduce_{name}": _reduce for name in ("sum", "max", "min", "prod", "and", "or")},
    **dict.fromkeys(("argmax", "argmin"), _reduce),
}

CHANNELS = Following(RULES)
"""The channels of the images, and those that layers make of them."""

ROWS = Following(
    {
        **RULES,
        "conv_general_dilated": _rows_of_convolution,
        "dot_general": _rows_of_product,
        "gather": _rows_of_gather,
    }
)
"""The rows of a batch, marked like channels."""
