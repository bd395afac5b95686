"""The small models of the suite as models of the reference backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as xp

from phosphene.types import Array, Floats
from reference_backend.backend import Model, convolution, relu

__all__ = ["linear_model", "result_of", "small_model"]

EPSILON = 1e-5


def small_model(values: dict[str, Floats], bomb: Callable[[Array], Array], end: Callable[..., Array]) -> Model:
    """Convolution, batch normalisation, ReLU, mean and a linear layer; see ``small_models.small_network``."""

    def model(w: Any, x: Array) -> Any:
        x = yield "conv", convolution(x, w["conv.kernel"], pad=1) + w["conv.bias"]
        x = (x - w["norm.mean"]) / xp.sqrt(w["norm.var"] + EPSILON)
        x = relu((yield "norm", x * w["norm.scale"] + w["norm.bias"]))
        x = yield "drop", bomb(xp.mean(x, axis=(1, 2)))
        x = yield "head", x @ w["head.kernel"] + w["head.bias"]
        return end(x, None)

    return Model(model, {name: value for name, value in values.items() if not name.startswith("blocks")})


def linear_model(filters: Floats) -> Model:
    """One convolution; `filters` is (O, H, W, I)."""

    def model(weights: Any, x: Array) -> Any:
        return (yield "conv", convolution(x, weights["conv.kernel"]))

    return Model(model, {"conv.kernel": filters.transpose(1, 2, 3, 0)})


def result_of(model: Model, images: Array) -> Array:
    """What the model returns, with nobody reading on the way."""
    running, value = model.function(model.weights, images), None
    while True:
        try:
            _, value = running.send(value)
        except StopIteration as end:
            return end.value
