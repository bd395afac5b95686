"""Track the channel axis from operation to operation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from phosphene.layouts import Layout
from phosphene_torch.contractions import CONTRACTIONS, contracted

__all__ = ["Axes", "tensors"]

MAKES_SECOND = frozenset(
    {f"conv{n}d" for n in (1, 2, 3)}
    | {f"conv_transpose{n}d" for n in (1, 2, 3)}
    | set("batch_norm instance_norm group_norm local_response_norm pixel_shuffle pixel_unshuffle fold".split())
)
MAKES_LAST = frozenset(
    "linear bilinear embedding scaled_dot_product_attention multi_head_attention_forward rms_norm "
    "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split()
)
MOVES = frozenset("permute transpose transpose_ swapaxes swapdims movedim moveaxis t mT adjoint mH H T".split())
RESHAPES = frozenset("reshape view flatten unflatten reshape_as view_as ravel".split())
REDUCES = frozenset(
    "mean sum amax amin max min std var norm logsumexp prod median argmax argmin any all nanmean nansum select unbind".split()
)
STRETCHES = frozenset("expand expand_as repeat tile broadcast_to add sub mul div where maximum minimum".split())
MASKS = frozenset({torch.bool, torch.uint8})
FORGETS = frozenset("cdist diagonal as_strided cosine_similarity outer kron".split())


class Axes(TorchFunctionMode):
    """A mode that tracks the layouts of tensors from operation to operation.

    The class of a module is not enough: a block may permute between channel-first and channel-last (ConvNeXt), and so may a
    layer normalisation. Operations with a fixed channel axis set the layout; those that move, merge, split or sum axes
    transform it; all others keep the layout of their input.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layouts: Any = WeakTensorKeyDictionary()

    def of(self, tensor: torch.Tensor) -> Layout | None:
        """Return the layout of a tensor, or None if it is unknown."""
        layout: Layout | None = self._layouts.get(tensor)
        return layout

    def set(self, tensor: torch.Tensor, axis: int) -> None:
        """Set the channel axis of a tensor."""
        self._layouts[tensor] = Layout.of(tensor.shape, axis)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        try:
            self._follow(func, args, kwargs, result)
        except Exception:  # noqa: BLE001  (a call that is not understood makes the layout of its results unknown)
            self._forget(result)
        return result

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        name = getattr(func, "__name__", "")
        if name == "__get__":  # a property: `x.mT` moves axes, `x.shape` does not matter
            name = getattr(getattr(func, "__self__", None), "__name__", "")
            if name not in MOVES and name != "data":
                return
        if name == "__setitem__" and len(args) == 3 and self.of(args[0]) is None:
            self._note(args[0], self._filled(*args))
            return
        given = list(tensors((*args, *kwargs.values())))
        sources = [tensor for tensor in given if tensor in self._layouts]
        if name.startswith("new_"):  # a new tensor, whose values do not depend on the one it is called on
            return
        for place, out in enumerate(tensors(result)):
            if name in MAKES_SECOND or name in MAKES_LAST or sources:
                self._note(out, self._followed(_Call(name, args, kwargs, place), given, sources, out))

    def _forget(self, result: Any) -> None:
        with contextlib.suppress(Exception):
            for out in tensors(result):
                self._note(out, None)

    def _note(self, tensor: torch.Tensor, layout: Layout | None) -> None:
        if tensor.is_floating_point() or tensor.is_complex():
            self._layouts[tensor] = layout

    def _followed(
        self, call: _Call, given: list[torch.Tensor], sources: list[torch.Tensor], out: torch.Tensor
    ) -> Layout | None:
        shape = tuple(out.shape)
        if call.name in CONTRACTIONS:
            # A tensor of unknown layout that is not a parameter makes the result unknown.
            layouts = [self._layouts.get(tensor) for tensor in given]
            if any(tensor in self._layouts and self.of(tensor) is None for tensor in given):
                return None
            skipped = 1 if call.name in ("baddbmm", "addmm") else 0
            return contracted(call.name, call.args, call.kwargs, layouts[skipped:], shape)
        known = [(tensor, layout) for tensor in sources if (layout := self.of(tensor)) is not None]
        # Of several inputs, the one that is most like the result: a map scaled by one number per channel keeps its layout.
        ranked = sorted(known, key=lambda item: (tuple(item[0].shape) != shape, item[0].ndim != out.ndim))
        layout = ranked[0][1] if ranked else None
        if call.name in MAKES_SECOND:
            return Layout.of(shape, 1) if out.ndim > 1 else None
        if call.name in MAKES_LAST or _normalises_last(call):
            return _made_last(call, layout, shape)
        if layout is None or call.name in FORGETS:
            return None
        source = ranked[0][0]
        rule = RULES.get(call.name)
        if rule is not None:
            return rule(call, layout, source, out)
        return layout.resized(shape)

    def _filled(self, target: torch.Tensor, index: Any, value: Any) -> Layout | None:
        """The layout of an empty tensor that is filled from another one."""
        layout = self.of(value) if isinstance(value, torch.Tensor) else None
        return None if layout is None else layout.resized(target.shape)


@dataclass(frozen=True)
class _Call:
    """One call of an operation; `place` is the index of the result in question."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    place: int

    def argument(self, place: int, *names: str) -> Any:
        return next(
            (self.kwargs[name] for name in names if name in self.kwargs),
            self.args[place] if len(self.args) > place else None,
        )


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors in nested mappings, tuples and lists."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from tensors(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from tensors(value)


def _normalises_last(call: _Call) -> bool:
    shape = call.argument(1, "normalized_shape") if call.name == "layer_norm" else None
    return shape is not None and len(tuple(shape)) == 1


def _made_last(call: _Call, layout: Layout | None, shape: tuple[int, ...]) -> Layout | None:
    if len(shape) < 2:
        return None
    if call.name == "multi_head_attention_forward" and call.place == 1:
        return Layout.of(shape, 1) if len(shape) == 4 else None  # weights, by head or averaged over heads
    kept = None if layout is None else layout.resized(shape)
    if call.name == "linear" and kept is not None and kept.channel is not None and not kept.holds(len(shape) - 1):
        return kept  # a layer that mixes tokens, behind a transposition, makes tokens: channels stay where they are
    return Layout.of(shape, -1) if kept is None else kept.marked(len(shape) - 1)


def _moved(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    # The same rearrangement of a tensor without data, whose axes have distinct lengths, shows where each axis went. Lengths are
    # one larger than the indices, so that none is 0.
    numbered = torch.empty([axis + 1 for axis in range(source.ndim)], device="meta")
    move = getattr(torch.Tensor, call.name)
    others = {key: value for key, value in call.kwargs.items() if key not in ("input", "self")}
    result = move(numbered, *call.args[1:], **others) if callable(move) else getattr(numbered, call.name)
    return layout.picked([int(side) - 1 for side in result.shape]).resized(out.shape)


def _reshaped(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    return layout.reshaped(out.shape)


def _stretched(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    return layout.stretched(out.shape)


def _squeezed(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    dims = call.argument(1, "dim")
    chosen = range(source.ndim) if dims is None else [dim % source.ndim for dim in _sequence(dims)]
    return layout.picked([axis for axis in range(source.ndim) if axis not in chosen or source.shape[axis] != 1])


def _unsqueezed(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    order: list[int | None] = list(range(source.ndim))
    order.insert(call.argument(1, "dim") % out.ndim, None)
    return layout.picked(order)


def _stacked(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    order: list[int | None] = list(range(source.ndim))
    order.insert((call.argument(1, "dim") or 0) % out.ndim, None)
    return layout.picked(order).resized(out.shape)


def _reduced(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    if out.ndim == source.ndim:
        return layout.resized(out.shape)
    dims = call.argument(2 if call.name == "norm" else 1, "dim", "axis")
    if dims is None and call.name == "unbind":
        dims = 0
    if dims is None or isinstance(dims, torch.Tensor):
        return None
    gone = [dim % source.ndim for dim in _sequence(dims)]
    kept = layout.picked([axis for axis in range(source.ndim) if axis not in gone])
    return kept if len(kept.axes) == out.ndim else None


def _indexed(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    taken = sum(_taken(item) for item in index)
    filled: list[Any] = []
    for item in index:
        filled += [slice(None)] * (source.ndim - taken) if item is Ellipsis else [item]
    if Ellipsis not in [item for item in index if not isinstance(item, torch.Tensor)]:
        filled += [slice(None)] * (source.ndim - taken)
    order: list[int | None] = []
    axis = 0
    for item in filled:
        if item is None:
            order.append(None)
            continue
        if not _is_number(item):  # a slice, one list of indices or one mask keeps the axis
            order.append(axis)
        axis += _taken(item)
    return layout.picked(order).resized(out.shape)


def _taken(item: Any) -> int:
    """Number of axes that an index takes: a mask has as many as it is deep."""
    if item is None or item is Ellipsis:
        return 0
    return max(1, item.ndim) if isinstance(item, torch.Tensor) and item.dtype in MASKS else 1


def _is_number(item: Any) -> bool:
    if isinstance(item, torch.Tensor):
        return item.ndim == 0 and item.dtype not in MASKS
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


def _unfolded(call: _Call, layout: Layout, source: torch.Tensor, out: torch.Tensor) -> Layout | None:
    if out.ndim == source.ndim + 1:  # the method: windows along one axis become a new last axis
        return layout.picked([*range(source.ndim), None]).resized(out.shape)
    channels = int(source.shape[1])
    axes = Layout.of(out.shape).axes
    return Layout((axes[0], ((channels, True), (int(out.shape[1]) // channels, False)), axes[2]))


def _sequence(dims: Any) -> list[int]:
    return [dims] if isinstance(dims, int) else list(dims)


RULES: Mapping[str, Callable[[_Call, Layout, torch.Tensor, torch.Tensor], Layout | None]] = {
    **dict.fromkeys(MOVES, _moved),
    **dict.fromkeys(RESHAPES, _reshaped),
    **dict.fromkeys(REDUCES, _reduced),
    **dict.fromkeys(STRETCHES, _stretched),
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "stack": _stacked,
    "__getitem__": _indexed,
    "unfold": _unfolded,
}
