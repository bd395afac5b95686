"""Small functions that the array-API standard lacks, written over a namespace `xp`.

Each avoids a measured difference between frameworks: the gradient of ``1 / (1 + exp(-x))`` is NaN far from zero, the
subgradient of ``abs`` at 0 is 1 in one framework and 0 in the other, and ``take_along_axis`` accepts 32-bit indices in only one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Array, Namespace, Tree

__all__ = [
    "arange",
    "complex_of",
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
    """Return a host array as an array of the dtype and on the device of `like`."""
    device = getattr(like, "device", None)
    if device is None or callable(device):
        return xp.asarray(value, dtype=like.dtype)  # an array that is being traced has no device
    return xp.asarray(value, dtype=like.dtype, device=device)


def complex_of(xp: Namespace, real: Array, imaginary: Array) -> Array:
    """Return ``real + i imaginary``; converted explicitly, since JAX can be told to promote no dtypes."""
    wide = xp.complex128 if str(real.dtype).endswith("float64") else xp.complex64
    return xp.astype(real, wide) + 1j * xp.astype(imaginary, wide)


def arange(xp: Namespace, count: int, like: Array) -> Array:
    """Return the integers ``0 ... count - 1`` on the device of `like`."""
    device = getattr(like, "device", None)
    if device is None or callable(device):
        return xp.arange(count)
    return xp.arange(count, device=device)


def sigmoid(xp: Namespace, x: Array) -> Array:
    """The logistic function, with a gradient that is finite everywhere; the namespace's own if it has one."""
    own = getattr(xp, "sigmoid", None)  # PyTorch's sigmoid takes a ninth of the time of its tanh
    return 0.5 * (xp.tanh(0.5 * x) + 1.0) if own is None else own(x)


def smooth_abs(xp: Namespace, x: Array, epsilon: float = 1e-4) -> Array:
    """``sqrt(x^2 + epsilon^2) - epsilon``: the absolute value, with a gradient at zero on which both frameworks agree."""
    return xp.sqrt(x * x + epsilon * epsilon) - epsilon


def row_sum(xp: Namespace, x: Array) -> Array:
    """Sum over all axes but the first: ``(N, ...) -> (N,)``."""
    return xp.sum(xp.reshape(x, (x.shape[0], -1)), axis=1)


def expand(xp: Namespace, rows: Array, like: Array) -> Array:
    """Reshape ``(N,)`` to as many axes as `like` has, the trailing ones of length 1, in the dtype of `like`."""
    return xp.reshape(xp.astype(rows, like.dtype), (-1,) + (1,) * (like.ndim - 1))


def surely_none(mask: Array) -> bool:
    """Whether a mask is known to be all False without waiting: False for traced arrays and for arrays on an accelerator.

    Arrays on a device called exactly ``cpu`` (PyTorch, NumPy) are computed when they are made. An array that is being traced has no
    device, and arrays that are computed in the background are on a device of another name (``cpu:0`` in JAX).
    """
    return str(getattr(mask, "device", "")) == "cpu" and not bool(mask.any())


def filled(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Pad host rows to `count` with copies of the last one, since a last batch of another size would be compiled again."""
    short = count - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], short, axis=0)]) if short else rows


def ranks(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rank the values within each row of a host array, from 1; equal values get the mean of their ranks."""
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
    """Return the leaves of nested tuples, lists and dictionaries in order; None is not a leaf."""
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
    """Stack NumPy trees of the same structure along a new first axis."""
    return tree_map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
