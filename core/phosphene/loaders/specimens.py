"""The networks that are included in the package."""

from __future__ import annotations

import importlib.util

from phosphene.backend import backend_named
from phosphene.errors import InvalidParameter
from phosphene.loaders.request import RANDOM, Loaded, Request

__all__ = ["NAMES", "load"]

NAMES = ("specimen", "specimen-witness", "specimen-shortcut")


def load(request: Request) -> Loaded:
    """Load an embedded network, with its own weights or those of another file for its architecture.

    Raises
    ------
    InvalidParameter
        If `weights` is "random", or `arguments` are given.
    MissingBackend
        If the framework is not installed.
    CorruptWeights
        If the weights cannot be read or do not fit.
    """
    if request.weights == RANDOM:
        raise InvalidParameter(
            "weights",
            allowed="None, or a .safetensors file for this architecture",
            received=request.weights,
            fix="Use network.with_weights to replace the weights by random ones.",
        )
    if request.arguments:
        raise InvalidParameter(
            "arguments",
            allowed="None for an embedded network",
            received=dict(request.arguments),
            fix="Leave `arguments` out.",
        )
    from phosphene import specimen

    name = request.backend
    if name is None:
        name = "jax" if importlib.util.find_spec("torch") is None and importlib.util.find_spec("jax") else "torch"
    owner = backend_named(name)
    architecture, weights = specimen.load(request.name, request.file)
    settings = {
        "size": architecture.size,
        "mean": architecture.mean,
        "std": architecture.std,
        "classes": architecture.classes,
        "backend": name,
        "name": request.name,
    }
    return Loaded(owner.build(architecture, weights), settings)
