"""The framework's own optimizers, one for each slot, since each slot has a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from phosphene.errors import InvalidParameter
from phosphene.types import Array, Namespace, Tree

__all__ = ["TorchOptimizer"]


@dataclass(frozen=True)
class TorchOptimizer:
    """A ``torch.optim`` factory as a `phosphene.optimizers.Optimizer`; slower than the built-in ones, which are one batch.

    Attributes
    ----------
    factory : callable
        ``parameters -> torch.optim.Optimizer``.
    """

    factory: Callable[[list[torch.nn.Parameter]], Any]

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        return tuple(self._row(row) for row in parameters)

    def update(self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array) -> tuple[Array, Tree]:
        rows = []
        for optimizer, slope, row in zip(state, gradient, parameters, strict=True):
            held = optimizer.param_groups[0]["params"][0]
            held.data, held.grad = row.clone(), -slope  # torch descends
            with torch.enable_grad():
                optimizer.step()
            rows.append(held.detach().clone())
        return torch.stack(rows), state

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        return tuple(
            self._row(row) if fresh else optimizer
            for optimizer, row, fresh in zip(state, parameters, rows, strict=True)
        )

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        return tuple(state[row] for row in rows)

    def _row(self, row: torch.Tensor) -> torch.optim.Optimizer:
        optimizer = self.factory([torch.nn.Parameter(row.detach().clone())])
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidParameter(
                "optimizer", allowed="a factory of torch.optim optimizers", received=self.factory,
                fix="functools.partial(torch.optim.Adam, lr=0.05)",
            )  # fmt: skip
        return optimizer
