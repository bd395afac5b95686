"""Layouts of products that sum over axes: ``matmul``, ``einsum`` and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch

from phosphene.layouts import Axis, Layout

__all__ = ["CONTRACTIONS", "contracted"]

Names: TypeAlias = tuple[Any, ...]
"""Names of the axes of a factor or of the product; equal names in several tensors are one index."""

PRODUCTS = frozenset("matmul __matmul__ mm bmm".split())
SUMS_OF_PRODUCTS = frozenset("baddbmm addmm".split())
CONTRACTIONS = PRODUCTS | SUMS_OF_PRODUCTS | {"__rmatmul__", "einsum", "tensordot"}


def contracted(
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    layouts: Sequence[Layout | None],
    shape: Sequence[int],
) -> Layout | None:
    """Return the layout of a product.

    An axis of the product has the factors that it has in the operand it comes from. An axis of a parameter consists of channels
    if channels are summed over against that parameter, as in a linear layer; attention over tokens keeps the channels.

    Parameters
    ----------
    name : str
        Name of the operation, one of `CONTRACTIONS`.
    args, kwargs
        Arguments of the operation.
    layouts : sequence of Layout or None
        Layouts of the operands in the order of the arguments; None for a parameter.
    shape : sequence of int
        Shape of the product.
    """
    spelled = _spelled(name, args, kwargs)
    if spelled is None:
        return None
    factors, product = spelled
    if len(product) != len(shape) or len(factors) != len(layouts):
        return None
    known = [(names, layout) for names, layout in zip(factors, layouts, strict=True) if layout is not None]
    if any(len(names) != len(layout.axes) for names, layout in known):
        return None
    bare = [names for names, layout in zip(factors, layouts, strict=True) if layout is None]
    summed = {
        index
        for names, layout in known
        for axis, index in enumerate(names)
        if index not in product and layout.holds(axis)
    }

    def brought(index: Any, side: int) -> Axis:
        for names, layout in known:
            if index in names:
                return layout.axes[names.index(index)]
        return ((side, any(index in names and summed & set(names) for names in bare)),)

    return Layout(tuple(map(brought, product, map(int, shape)))).resized(shape)


def _spelled(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Names], Names] | None:
    """Return the names of the axes of the operands and of the product."""
    tensors = [item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor)]
    if name == "einsum":
        operands = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
        return _einsum(args[0], [item.ndim for item in operands]) if isinstance(args[0], str) else None
    if name in SUMS_OF_PRODUCTS:
        tensors = tensors[1:]
    if name == "__rmatmul__":
        tensors = tensors[::-1]
    if len(tensors) != 2:
        return None
    first, second = (item.ndim for item in tensors)
    if name == "tensordot":
        return _tensordot(first, second, kwargs.get("dims", args[2] if len(args) > 2 else 2))
    if first < 2 or second < 2:
        return None
    front = [tuple(range(2 - ndim, 0)) for ndim in (first, second)]
    spelled = [(*front[0], "row", "sum"), (*front[1], "sum", "column")]
    if name == "__rmatmul__":
        spelled = spelled[::-1]
        front = front[::-1]
    return spelled, (*max(front, key=len), "row", "column")


def _einsum(equation: str, ndims: Sequence[int]) -> tuple[list[Names], Names] | None:
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != len(ndims):
        return None

    def names(term: str, ndim: int) -> Names:
        before, dots, after = term.partition("...")
        hidden = range(len(term.replace("...", "")) - ndim, 0) if dots else ()
        return (*before, *hidden, *after)

    factors = [names(term, ndim) for term, ndim in zip(terms, ndims, strict=True)]
    hidden = max((sum(isinstance(index, int) for index in factor) for factor in factors), default=0)
    return factors, names(right, len(right.replace("...", "")) + hidden)


def _tensordot(first: int, second: int, dims: Any) -> tuple[list[Names], Names] | None:
    if isinstance(dims, int):
        pairs = [(first - dims + index, index) for index in range(dims)]
    elif isinstance(dims, (tuple, list)) and len(dims) == 2:
        left, right = ([side] if isinstance(side, int) else list(side) for side in dims)
        pairs = [(a % first, b % second) for a, b in zip(left, right, strict=True)]
    else:
        return None
    summed = {b: a for a, b in pairs}
    names = [("first", axis) for axis in range(first)]
    others: list[Any] = [("first", summed[axis]) if axis in summed else ("second", axis) for axis in range(second)]
    gone = {("first", a) for a, _ in pairs}
    return [tuple(names), tuple(others)], tuple(index for index in (*names, *others) if index not in gone)
