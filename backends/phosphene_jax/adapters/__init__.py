"""Adapters from a user's model to a marked pure function, one module per kind of model.

An adapter has ``owns(model) -> bool`` and ``adapt(model, images, calling) -> Adapted``, where `images` is the native shape and
dtype of the model's images. The first one that owns a model adapts it.
"""

from __future__ import annotations

from types import ModuleType

import jax

from phosphene.errors import UnknownModel
from phosphene_jax.adapters import equinox, function, linen, nnx
from phosphene_jax.adapters.adapted import Adapted
from phosphene_jax.adapters.invocation import Calling

__all__ = ["Adapted", "Calling", "adapt", "adapter_of"]

KINDS: tuple[ModuleType, ...] = (nnx, linen, equinox, function)
"""The adapters in the order in which they are tried; `function` takes any callable, so it is the last."""


def adapter_of(model: object) -> ModuleType | None:
    """Return the adapter that owns a model, or None."""
    return next((kind for kind in KINDS if kind.owns(model)), None)


def adapt(model: object, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """Return the model as a marked pure function.

    Parameters
    ----------
    model : object
        The user's model.
    images : ShapeDtypeStruct (1, H, W, C)
        Native shape and dtype of the images.
    calling : Calling
        How the model is called, and which part of its return value is the output.

    Returns
    -------
    Adapted

    Raises
    ------
    UnknownModel
        If no adapter owns the model.
    """
    kind = adapter_of(model)
    if kind is None:
        raise UnknownModel(
            "model: expected an nnx module, (linen module, variables), an Equinox module or a function, "
            f"got {type(model).__qualname__}."
        )
    adapted: Adapted = kind.adapt(model, images, calling)
    return adapted
