"""``torch.optim`` optimizers, one per target, since each target counts its own steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from phosphene.errors import InvalidParameter
from phosphene.types import Array, Namespace, Tree

__all__ = ["TorchOptimizer", "optimizer_of"]

FIX = "functools.partial(torch.optim.Adam, lr=0.05) sets its options."


@dataclass(frozen=True)
class TorchOptimizer:
    """A ``torch.optim`` factory as a `phosphene.optimizers.Optimizer`; slower than the built-in ones, which run as a batch.

    Attributes
    ----------
    factory : callable
        ``parameters -> torch.optim.Optimizer``.
    """

    factory: Callable[[list[torch.nn.Parameter]], Any]

    def init(self, xp: Namespace, parameters: Array) -> Tree:
        """Return one optimizer per row of `parameters` ``(N, ...)``."""
        return tuple(self._row(row) for row in parameters)

    def update(
        self, xp: Namespace, gradient: Array, state: Tree, parameters: Array, clock: Array
    ) -> tuple[Array, Tree]:
        """Take one step up the gradient; the optimizers count their own steps."""
        rows = []
        for optimizer, slope, row in zip(state, gradient, parameters, strict=True):
            group = optimizer.param_groups[0]
            held = group["params"][0]
            # torch descends, unless maximize is set.
            held.data, held.grad = row.detach().clone(), slope.clone() if group.get("maximize") else -slope
            optimizer.step()
            rows.append(held.detach().clone())
        return torch.stack(rows), state

    def restart(self, xp: Namespace, state: Tree, parameters: Array, rows: Sequence[bool]) -> Tree:
        """Return the state with a new optimizer where `rows` is True."""
        return tuple(
            self._row(row) if fresh else optimizer
            for optimizer, row, fresh in zip(state, parameters, rows, strict=True)
        )

    def take(self, xp: Namespace, state: Tree, rows: Sequence[int]) -> Tree:
        """Return the state of the given rows only."""
        return tuple(state[row] for row in rows)

    def _row(self, row: torch.Tensor) -> torch.optim.Optimizer:
        optimizer = self.factory([torch.nn.Parameter(row.detach().clone())])
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidParameter(
                "optimizer", allowed="a factory of torch.optim optimizers", received=self.factory, fix=FIX
            )
        return optimizer


def optimizer_of(foreign: Any) -> TorchOptimizer:
    """Wrap a factory of ``torch.optim`` optimizers; it is tried on one number, so that errors occur here.

    Raises
    ------
    InvalidParameter
        If it is not such a factory, or its optimizers need a closure.
    """
    allowed = "ph.optimizers.adam, ph.optimizers.sgd or a torch.optim factory such as torch.optim.Adam"
    if not callable(foreign):
        raise InvalidParameter("optimizer", allowed=allowed, received=foreign, fix=FIX)
    wrapped = TorchOptimizer(foreign)
    try:
        hash(wrapped)
        with torch.inference_mode(False), torch.no_grad():
            one = torch.ones(1, 1)
            wrapped.update(None, one, wrapped.init(None, one), one, torch.zeros(1))
    except InvalidParameter:
        raise
    except Exception as error:
        raise InvalidParameter(
            "optimizer",
            allowed=f"{allowed}, whose step needs no closure",
            received=foreign,
            fix=f"It raised {type(error).__name__}: {error}. {FIX}",
        ) from error
    return wrapped
