"""The channel axis of a tensor in the middle of a model, from the operations that computed it."""

from __future__ import annotations

from typing import Any

import torch

from phosphene.layouts import Layout

__all__ = ["channel_axis"]

SECOND = (
    "Convolution",
    "MkldnnConvolution",
    "SlowConv",
    "NativeBatchNorm",
    "CudnnBatchNorm",
    "NativeGroupNorm",
    "ScaledBackward",
)
"""Beginnings of the names of operations whose result has its channels in axis 1."""

LAST = ("Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "NativeLayerNorm", "Embedding", "ScaledDot")
"""Beginnings of the names of operations whose result has its channels last."""

SAME = ("View", "UnsafeView", "ReshapeAlias")
FARTHEST = 64
"""Number of operations that are gone back through."""


def channel_axis(x: torch.Tensor) -> int:
    """Return the channel axis of a tensor with a graph, counted from the left.

    The operations in front of it are followed back to the first one that states its channel axis: a convolution, a matrix product,
    a normalisation. Without one, it is axis 1 of a tensor of four or more axes, as PyTorch's own layers have it, and else the last.
    """
    found = _axis(x.grad_fn, tuple(x.shape), FARTHEST, set())
    return (1 if x.ndim > 3 else x.ndim - 1) if found is None or not 0 < found < x.ndim else found


def _axis(node: Any, shape: tuple[int, ...], steps: int, seen: set[Any]) -> int | None:
    if node is None or steps == 0 or node in seen:
        return None
    seen.add(node)
    name, ndim = node.name(), len(shape)
    if name.startswith(SECOND):
        return 1
    if name.startswith(LAST):
        return ndim - 1
    inputs = [inner for inner, _ in node.next_functions if inner is not None]
    if name.startswith("Permute"):
        dims = [_signed(dim) % ndim for dim in node._saved_dims]
        before = _axis(inputs[0], _unpermuted(shape, dims), steps - 1, seen) if inputs else None
        return None if before is None or before not in dims else dims.index(before)
    if name.startswith("Transpose"):
        dims = list(range(ndim))
        a, b = _signed(node._saved_dim0) % ndim, _signed(node._saved_dim1) % ndim
        dims[a], dims[b] = b, a
        before = _axis(inputs[0], _unpermuted(shape, dims), steps - 1, seen) if inputs else None
        return None if before is None else dims.index(before)
    if name.startswith(SAME):
        given = tuple(int(side) for side in node._saved_self_sym_sizes)
        before = _axis(inputs[0], given, steps - 1, seen) if inputs else None
        layout = None if before is None else Layout.of(given, before).reshaped(shape)
        return None if layout is None else layout.channel
    found = (_axis(inner, shape, steps - 1, seen) for inner in inputs)
    return next((axis for axis in found if axis is not None), None)


def _signed(dim: int) -> int:
    """A saved dimension, of which negative ones are kept without their sign."""
    return dim - 2**64 if dim >= 2**63 else dim


def _unpermuted(shape: tuple[int, ...], dims: list[int]) -> tuple[int, ...]:
    before = [0] * len(shape)
    for place, dim in enumerate(dims):
        before[dim] = shape[place]
    return tuple(before)
