"""Backward rules for rectified linear units, wherever they are called: modules, functions, methods, in place or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from phosphene.backend import Rule
from phosphene.types import Array, Tree

__all__ = ["nonlinearities", "with_rule"]

RELUS = frozenset({F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_})
"""Not reached: ``clamp(min=0)``, ``maximum`` with zero, and what fused operations do inside."""

NAMES: Mapping[Any, str] = {
    **{function: "relu" for function in RELUS},
    F.gelu: "gelu",
    F.silu: "silu",
    F.hardswish: "hardswish",
    F.hardsigmoid: "hardsigmoid",
    F.leaky_relu: "leaky_relu",
    F.elu: "elu",
    F.selu: "selu",
    F.celu: "celu",
    F.relu6: "relu6",
    F.hardtanh: "hardtanh",
    F.mish: "mish",
    F.softplus: "softplus",
    F.softmax: "softmax",
    F.prelu: "prelu",
    torch.prelu: "prelu",
    torch.softmax: "softmax",
    torch.Tensor.softmax: "softmax",
    F.scaled_dot_product_attention: "attention",
    torch.tanh: "tanh",
    torch.Tensor.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    torch.Tensor.sigmoid: "sigmoid",
}


class RuledRelu(torch.autograd.Function):
    """``max(x, 0)`` whose backward pass is a rule's; the gradient of the gate says where the rule acted."""

    @staticmethod
    def forward(x: torch.Tensor, gate: torch.Tensor, rule: Rule) -> torch.Tensor:
        return x.clamp_min(0)

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
    """Replaces calls of rectified linear units while it is entered."""

    def __init__(self, rule: Rule, gate: torch.Tensor) -> None:
        super().__init__()
        self.rule, self.gate = rule, gate

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in RELUS:
            return RuledRelu.apply(args[0] if args else kwargs["input"], self.gate, self.rule)
        return func(*args, **(kwargs or {}))


class CountMode(TorchFunctionMode):
    """Counts nonlinearities; one that is made of another is counted once."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in NAMES:
            self.counts[NAMES[func]] += 1
        return func(*args, **(kwargs or {}))


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


def _channel_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _channel_second(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x
