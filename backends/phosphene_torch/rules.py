"""Backward rules for rectified linear units in modules, functions and methods, in place or not, and counts of nonlinearities."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from phosphene.backend import Rule
from phosphene.errors import CoverageWarning
from phosphene.rules import acts_by_row, with_ceilings
from phosphene.types import Array, Tree
from phosphene_torch.axes import tensors
from phosphene_torch.channels import channel_axis
from phosphene_torch.rectifiers import Call, Rectifiers

__all__ = ["nonlinearities", "paused", "with_rule"]

NAMES: Mapping[Any, str] = {
    **{
        function: name
        for name in (
            "gelu silu mish hardswish hardsigmoid leaky_relu elu selu celu hardtanh softplus softsign logsigmoid glu rrelu "
            "threshold prelu tanh sigmoid softmax log_softmax hardshrink softshrink tanhshrink"
        ).split()
        for space in (F, torch, torch.Tensor)
        for spelling in (name, f"{name}_", f"_{name}")
        if (function := getattr(space, spelling, None)) is not None
    },
    F.scaled_dot_product_attention: "attention",
    torch.special.expit: "sigmoid",
}
"""Functions, methods and in-place forms of nonlinearities other than rectified linear units, each under one name."""

_paused: ContextVar[bool] = ContextVar("phosphene_torch_rules_paused", default=False)


@dataclass
class Rows:
    """Where the rows of the images are in a tensor: axis `axis`, of which each image has an equal run.

    `axis` is None if it is not known. `x` is the tensor, until it is known.
    """

    axis: int | None
    x: torch.Tensor | None = None

    def first(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """A view whose first axis has one row for each of `count` images."""
        axis = self.axis or 0
        shape = (*x.shape[:axis], count, -1, *x.shape[axis + 1 :])
        apart = x if axis == 0 and x.shape[0] == count else x.reshape(shape).movedim(axis, 0)
        return apart[:, None] if apart.ndim == 1 else apart

    def back(self, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The inverse of `first`."""
        axis = self.axis or 0
        return rows.reshape(like.shape) if axis == 0 else rows.movedim(0, axis).reshape(like.shape)


class RuledUnit(torch.autograd.Function):
    """A rectified linear unit with the backward pass of a rule; the gradient of the gate tells where the rule was used."""

    @staticmethod
    def forward(x: torch.Tensor, gate: torch.Tensor, rule: Any, call: Call, rows: Rows | None) -> torch.Tensor:
        return call.forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        x, gate, ctx.rule, call, ctx.rows = inputs
        ctx.rectifier = call.rectifier
        ctx.channel = None if ctx.rows is None else channel_axis(x)
        ctx.save_for_backward(x, gate)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        (x, gate), g, rows = ctx.saved_tensors, gradients[0], ctx.rows
        if rows is None:  # the rule looks at each value alone
            gradient, used = ctx.rule(xp, x, g, gate, ctx.rectifier)
        elif rows.axis is None:
            gradient, used = ctx.rectifier.standard(xp, x, g), torch.zeros_like(gate)
        elif rows.axis == 0 and len(x) == len(gate) and ctx.channel:
            gradient, used = ctx.rule(xp, x.movedim(ctx.channel, -1), g.movedim(ctx.channel, -1), gate, ctx.rectifier)
            gradient = gradient.movedim(-1, ctx.channel)
        else:
            # With the channels last, the rows of an image come before its other positions.
            axis = ctx.channel if ctx.channel is not None and ctx.channel != rows.axis else x.ndim - 1
            last, g_last = (x, g) if x.ndim == 1 else (x.movedim(axis, -1), g.movedim(axis, -1))
            moved = replace(rows, axis=rows.axis - (axis < rows.axis))
            count = len(gate)
            by_row, used = ctx.rule(xp, moved.first(last, count), moved.first(g_last, count), gate, ctx.rectifier)
            gradient = moved.back(by_row, last)
            gradient = gradient if x.ndim == 1 else gradient.movedim(-1, axis)
        return gradient, used.to(gate.dtype), None, None, None


class RuleMode(TorchFunctionMode):
    """A mode that replaces rectified linear units that depend on the images.

    A rule that acts by rows needs to know which rows are which image. They are the first axis, if it has as many rows as there are
    images. Other tensors (windows of an image in the rows, the batch axis second) are in `unknown`, with the number of the call.
    """

    def __init__(self, rule: Rule, gate: torch.Tensor) -> None:
        super().__init__()
        self.rule, self.gate, self.by_row = with_ceilings(rule), gate, acts_by_row(rule)
        self.rectifiers, self.calls = Rectifiers(), 0
        self.unknown: dict[int, Rows] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _paused.get():
            return func(*args, **kwargs)
        call = self.rectifiers.found(func, args, kwargs)
        if call is None or call.gate or not call.x.requires_grad or not torch.is_grad_enabled():
            result = func(*args, **kwargs)
            self.rectifiers.note(func, args, kwargs, result, None)
            return result
        if call.target is call.x:
            # The backward pass needs the input, which is overwritten.
            call = replace(call, x=call.x.clone())
        result = self.replaced(call)
        if call.target is not None:
            # The model may use the input tensor again, for a shortcut for instance, and expects it to be rectified.
            result = call.target.copy_(result)
        self.rectifiers.note(func, args, kwargs, result, call)
        return result

    def replaced(self, call: Call) -> torch.Tensor:
        """The unit, with the backward pass of the rule."""
        apply: Callable[..., torch.Tensor] = RuledUnit.apply
        rows = None
        if self.by_row:
            rows = Rows(0)
            if call.x.ndim == 0 or call.x.shape[0] != len(self.gate):
                # All of it belongs to a single image.
                rows = Rows(0) if len(self.gate) == 1 and call.x.ndim else Rows(None, call.x.detach())
                if rows.axis is None:
                    self.unknown[self.calls] = rows
        self.calls += 1
        return apply(call.x, self.gate, self.rule, call, rows)


class FirstImage(RuleMode):
    """A mode for a pass over the first image alone, which finds out where its rows are among those of all images."""

    def __init__(self, mode: RuleMode) -> None:
        super().__init__(mode.rule, mode.gate)
        self.wanted = mode.unknown

    def replaced(self, call: Call) -> torch.Tensor:
        """The unit as it is; its rows are compared."""
        rows = self.wanted.get(self.calls)
        if rows is not None and rows.x is not None:
            rows.axis = _axis_of_images(rows.x, call.x.detach(), len(self.gate))
        self.calls += 1
        return call.forward(call.x)


class CountMode(TorchFunctionMode):
    """A mode that notes nonlinearities; one that is made of another is noted once."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifiers = Rectifiers()
        self._seen: list[tuple[str, Any, torch.Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _paused.get():
            return func(*args, **kwargs)
        call = self.rectifiers.found(func, args, kwargs)
        if call is not None and call.target is call.x:
            call = replace(call, x=call.x.detach())  # another tensor stands for the input that is overwritten
        result = func(*args, **kwargs)
        self.rectifiers.note(func, args, kwargs, result, call)
        name = NAMES.get(func) if call is None else call.name
        if name is not None and isinstance(result, torch.Tensor) and result.grad_fn is not None:
            if call is not None and not call.whole:  # it was noted when one of its ends was computed
                self._seen = [item for item in self._seen if item[2] is not call.x]
            self._seen.append((name, result.grad_fn, None if call is None else call.x))
        return result

    def counts(self, leaf: torch.Tensor, outputs: Tree) -> Mapping[str, int]:
        """Count the nonlinearities that are on the way from `leaf` to `outputs`, by name."""
        pending: list[Any] = [tensor.grad_fn for tensor in tensors(outputs) if tensor.grad_fn is not None]
        behind: dict[Any, list[Any]] = {node: [] for node in pending}
        starts = []
        while pending:
            node = pending.pop()
            if getattr(node, "variable", None) is leaf:
                starts.append(node)
            for before, _ in node.next_functions:
                if before is not None:
                    if before not in behind:
                        behind[before] = []
                        pending.append(before)
                    behind[before].append(node)
        on_way = set(starts)
        while starts:
            following = [node for node in behind[starts.pop()] if node not in on_way]
            on_way.update(following)
            starts += following
        return dict(Counter(name for name, node, _ in self._seen if node in on_way))


def with_rule(rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
    """See `phosphene.backend.Backend.with_rule`."""

    def ruled(x: torch.Tensor, gate: torch.Tensor) -> Tree:
        with RuleMode(rule, gate) as mode:
            result = f(x)
        if mode.unknown:
            with FirstImage(mode):
                f(x[:1].detach().requires_grad_())
            for rows in mode.unknown.values():
                if rows.axis is None and rows.x is not None:
                    shape = tuple(rows.x.shape)
                    warnings.warn(
                        f"a rectified linear unit of shape {shape} has no row for each image.",
                        CoverageWarning,
                        stacklevel=2,
                    )
                rows.x = None
        return result

    return ruled


def nonlinearities(f: Callable[[Array], Tree], x: Array) -> Mapping[str, int]:
    """See `phosphene.backend.Backend.nonlinearities`."""
    mode = CountMode()
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        with mode:
            outputs = f(leaf)
    return mode.counts(leaf, outputs)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """A context without rules and counting, for an extra pass during another pass."""
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def _axis_of_images(whole: torch.Tensor, alone: torch.Tensor, count: int) -> int | None:
    """Return the axis along which each image has an equal run, found by the values of the first image alone."""
    longer = [axis for axis in range(alone.ndim) if whole.ndim == alone.ndim and whole.shape[axis] != alone.shape[axis]]
    if len(longer) != 1 or whole.shape[longer[0]] != count * alone.shape[longer[0]] or not alone.numel():
        return None
    (axis,) = longer
    length = alone.shape[axis]
    first, second = whole.narrow(axis, 0, length).float(), whole.narrow(axis, length, length).float()
    # Relative to the difference between the images: rounding differs by far less, and another order of rows by as much.
    apart, wrong = float((second - alone).abs().max()), float((first - alone).abs().max())
    return axis if wrong <= 0.25 * apart + 1e-4 * float(alone.abs().max()) else None
