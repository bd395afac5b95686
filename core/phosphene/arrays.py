"""Small things that the array-API standard leaves out, written once over a namespace `xp`.

Each avoids a difference between frameworks that was found by running both: the gradient of ``1 / (1 + exp(-x))`` is NaN far
from zero, the subgradient of ``abs`` at 0 is 1 on one and 0 on the other, and ``take_along_axis`` refuses 32-bit indices on one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Array, Namespace, Tree

__all__ = [
    "arange",
    "constant",
    "expand",
    "filled",
    "ranks",
    "row_sum",
    "sigmoid",
    "smooth_abs",
    "stack_trees",
    "surely_none",
    "take_channel",
    "tree_leaves",
    "tree_map",
]


def constant(xp: Namespace, value: NDArray[Any] | float, like: Array) -> Array:
    """A host array as an array of `like`'s dtype, on its device."""
    device = getattr(like, "device", None)
    if device is None or callable(device) or xp.__name__.startswith("jax"):
        return xp.asarray(value, dtype=like.dtype)  # a tracer has no device: XLA places constants itself
    return xp.asarray(value, dtype=like.dtype, device=device)


def arange(xp: Namespace, count: int, like: Array) -> Array:
    """``0 ... count - 1`` as integers on `like`'s device."""
    device = getattr(like, "device", None)
    if device is None or callable(device) or xp.__name__.startswith("jax"):
        return xp.arange(count)
    return xp.arange(count, device=device)


def sigmoid(xp: Namespace, x: Array) -> Array:
    """The logistic function, by a form whose gradient is finite everywhere; a namespace's own where it has one."""
    own = getattr(xp, "sigmoid", None)  # PyTorch's took a ninth of the time of its tanh
    return 0.5 * (xp.tanh(0.5 * x) + 1.0) if own is None else own(x)


def smooth_abs(xp: Namespace, x: Array, epsilon: float = 1e-4) -> Array:
    """``sqrt(x^2 + epsilon^2) - epsilon``: the absolute value with a gradient at zero that both frameworks agree on."""
    return xp.sqrt(x * x + epsilon * epsilon) - epsilon


def row_sum(xp: Namespace, x: Array) -> Array:
    """Sum over all axes but the first: ``(N, ...) -> (N,)``."""
    return xp.sum(xp.reshape(x, (x.shape[0], -1)), axis=1)


def expand(xp: Namespace, rows: Array, like: Array) -> Array:
    """``(N,)`` with as many trailing axes of length 1 as `like` has, in its dtype."""
    return xp.reshape(xp.astype(rows, like.dtype), (-1,) + (1,) * (like.ndim - 1))


def surely_none(mask: Array) -> bool:
    """Whether nothing is true, where that is known at once: not in a traced program, nor of an array that would be waited for.

    Only PyTorch's devices have a type; its arrays on the host are there as soon as they are asked for.
    """
    return getattr(getattr(mask, "device", None), "type", None) == "cpu" and not bool(mask.any())


def filled(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Host rows, and copies of the last up to `count`: a last batch of another size would compile once more."""
    short = count - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], short, axis=0)]) if short else rows


def ranks(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Host ranks within each row, from 1; equal values share the mean of theirs."""
    result = np.empty(rows.shape)
    for row, found in zip(rows, result, strict=True):
        _, places, counts = np.unique(row, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        found[:] = (ends - (counts - 1) / 2)[places]
    return result


def take_channel(xp: Namespace, x: Array, channels: Array) -> Array:
    """``x[n, ..., channels[n]]`` for every row n: ``(N, ..., C), (N,) -> (N, ...)``."""
    moved = xp.moveaxis(x, -1, 1)
    return moved[arange(xp, x.shape[0], x), channels]


def tree_leaves(tree: Tree) -> list[Any]:
    """Leaves of nested tuples, lists and dictionaries, in order; None is no leaf."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in tree_leaves(tree[key])]
    if isinstance(tree, (tuple, list)):
        return [leaf for branch in tree for leaf in tree_leaves(branch)]
    return [tree]


def tree_map(f: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `f` leaf by leaf to trees of the same structure; None stays None."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: tree_map(f, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        return type(tree)(tree_map(f, *branches) for branches in zip(tree, *others, strict=True))
    return f(tree, *others)


def stack_trees(trees: Sequence[Tree]) -> Tree:
    """NumPy trees of one structure, stacked along a new first axis."""
    return tree_map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
