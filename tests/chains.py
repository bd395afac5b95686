"""Networks that apply functions one after the other, on any backend: small enough to know every value of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import BACKENDS, chosen
from phosphene.backend import Network

SIZE = 8
IMAGES = np.random.default_rng(0).random((5, SIZE, SIZE, 3), np.float32)
Step = tuple[str, Callable[[Any], Any]]


def chain(backend: str, steps: list[Step], name: str = "chain") -> Network:
    """A network that applies functions one after the other; each is a layer of that name."""
    pytest.importorskip(BACKENDS[backend])
    makers = {"torch": _modules, "jax": _function, "numpy-reference": _generator}
    return ph.wrap(chosen(makers, backend)(steps), size=SIZE, name=name)


def _function(steps: list[Step]) -> Any:
    from jax.ad_checkpoint import checkpoint_name

    def function(x: Any) -> Any:
        for path, step in steps:
            x = checkpoint_name(step(x), path)
        return x.mean((1, 2))

    return function


def _modules(steps: list[Step]) -> Any:
    from torch import nn

    class Apply(nn.Module):
        def __init__(self, step: Callable[[Any], Any]) -> None:
            super().__init__()
            self.step = step

        def forward(self, x: Any) -> Any:
            return self.step(x)

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for path, step in steps:
                self.add_module(path, Apply(step))

        def forward(self, x: Any) -> Any:
            for path, _ in steps:
                x = getattr(self, path)(x)
            return x.mean((2, 3))

    return Chain().eval()


def _generator(steps: list[Step]) -> Any:
    from reference_backend import Model

    def function(weights: Any, x: Any) -> Any:
        for path, step in steps:
            x = yield path, step(x)
        return x.mean((1, 2))

    return Model(function, {})


def rectifier(backend: str) -> Callable[[Any], Any]:
    """The rectified linear unit of a framework."""

    def torch(x: Any) -> Any:
        from torch.nn.functional import relu

        return relu(x)

    def jax(x: Any) -> Any:
        from jax.nn import relu

        return relu(x)

    def reference(x: Any) -> Any:
        from reference_backend import relu

        return relu(x)

    return chosen({"torch": torch, "jax": jax, "numpy-reference": reference}, backend)


def double(x: Any) -> Any:
    return 2.0 * x


def square(x: Any) -> Any:
    return x * x


def shift(x: Any) -> Any:
    return x + 0.25


STEPS: list[Step] = [("first", double), ("second", square), ("third", shift), ("fourth", square)]


def with_fault(*faults: tuple[str, Callable[[Any], Any]]) -> list[Step]:
    return [(path, dict(faults).get(path, step)) for path, step in STEPS]
