"""Backward rules for rectified linear units in modules, functions and methods, in place or not."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from phosphene.backend import Rule
from phosphene.types import Array, Tree

__all__ = ["nonlinearities", "paused", "with_rule"]

RELUS = frozenset({F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_})
IN_PLACE = frozenset({F.relu_, torch.relu_, torch.Tensor.relu_})
"""Not covered: ``clamp(min=0)``, ``maximum`` with zero, and rectifiers inside fused operations."""

NAMES: Mapping[Any, str] = {
    **dict.fromkeys(RELUS, "relu"),
    **{
        function: name
        for name in (
            "gelu silu mish hardswish hardsigmoid leaky_relu elu selu celu relu6 hardtanh softplus softsign logsigmoid glu rrelu "
            "threshold prelu tanh sigmoid softmax log_softmax hardshrink softshrink tanhshrink"
        ).split()
        for space in (F, torch, torch.Tensor)
        for spelling in (name, f"{name}_")
        if (function := getattr(space, spelling, None)) is not None
    },
    F.scaled_dot_product_attention: "attention",
    torch.special.expit: "sigmoid",
}
"""Functions, methods and in-place forms of nonlinearities, each under one name."""

CLAMPS = frozenset({torch.clamp, torch.clamp_min, torch.Tensor.clamp, torch.Tensor.clamp_min, torch.Tensor.clamp_})

_paused: ContextVar[bool] = ContextVar("phosphene_torch_rules_paused", default=False)


class RuledRelu(torch.autograd.Function):
    """``max(x, 0)`` with the backward pass of a rule; the gradient of the gate tells where the rule was used."""

    @staticmethod
    def forward(x: torch.Tensor, gate: torch.Tensor, rule: Rule) -> torch.Tensor:
        return torch.relu(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor, Rule], output: torch.Tensor) -> None:
        x, gate, ctx.rule = inputs
        ctx.save_for_backward(x, gate)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, gate = ctx.saved_tensors
        gradient, used = ctx.rule(xp, _channel_last(x), _channel_last(gradients[0]), gate)
        return _channel_second(gradient), used.to(gate.dtype), None


class RuleMode(TorchFunctionMode):
    """A mode that replaces calls of rectified linear units.

    Only tensors with as many rows as the gate are replaced: if windows of an image are folded into the rows, the gate does not
    tell which row belongs to which image.
    """

    def __init__(self, rule: Rule, gate: torch.Tensor) -> None:
        super().__init__()
        self.rule, self.gate = rule, gate

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in RELUS or _paused.get():
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        if x.ndim < 2 or x.shape[0] != self.gate.shape[0]:
            return func(*args, **kwargs)
        apply: Callable[..., torch.Tensor] = RuledRelu.apply
        if func in IN_PLACE or (args[1] if len(args) > 1 else kwargs.get("inplace", False)):
            # Computed out of place, since the backward pass needs the input, and then copied: the model may use the input tensor
            # again, for a shortcut for instance, and expects it to be rectified.
            return x.copy_(apply(x.clone(), self.gate, self.rule))
        return apply(x, self.gate, self.rule)


class CountMode(TorchFunctionMode):
    """A mode that counts nonlinearities; one that is made of another is counted once."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _paused.get():
            if func in NAMES:
                self.counts[NAMES[func]] += 1
            elif func in CLAMPS and _from_zero(args, kwargs):
                # A rectifier that rules do not cover; it is counted so that coverage can be reported.
                self.counts["clamp"] += 1
        return func(*args, **kwargs)


def with_rule(rule: Rule, f: Callable[[Array], Tree]) -> Callable[[Array, Array], Tree]:
    """See `phosphene.backend.Backend.with_rule`."""

    def ruled(x: torch.Tensor, gate: torch.Tensor) -> Tree:
        with RuleMode(rule, gate):
            return f(x)

    return ruled


def nonlinearities(f: Callable[[Array], Tree], x: torch.Tensor) -> Mapping[str, int]:
    """See `phosphene.backend.Backend.nonlinearities`."""
    with torch.no_grad(), CountMode() as mode:
        f(x)
    return dict(mode.counts)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """A context without rules and counting, for an extra pass during another pass."""
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def _from_zero(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    low = args[1] if len(args) > 1 else kwargs.get("min")
    high = args[2] if len(args) > 2 else kwargs.get("max")
    return isinstance(low, (int, float)) and low == 0 and high is None


def _channel_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _channel_second(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x
