"""The networks that come with the package."""

from __future__ import annotations

import importlib.util

from phosphene.backend import backend_named
from phosphene.errors import InvalidParameter
from phosphene.loaders.request import RANDOM, Loaded, Request

__all__ = ["NAMES", "load"]

NAMES = ("specimen", "specimen-witness", "specimen-shortcut")


def load(request: Request) -> Loaded:
    """An embedded network, with its own weights or those of another file of its architecture.

    Raises
    ------
    InvalidParameter
        For random weights, or for arguments.
    MissingBackend
        When the framework is not installed.
    CorruptWeights
        When the weights cannot be read or do not fit.
    """
    if request.weights == RANDOM:
        raise InvalidParameter(
            "weights", allowed="None, or a .safetensors file of this architecture", received=request.weights,
            fix="network.with_weights replaces them by anything.",
        )  # fmt: skip
    if request.arguments:
        raise InvalidParameter(
            "arguments", allowed="none for an embedded network", received=dict(request.arguments), fix="Leave them out."
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
