"""From a user's model to a marked pure function: one small file a kind.

A kind is a module with ``owns(model) -> bool`` and ``adapt(model, images) -> Adapted``, where `images` is the shape and
dtype that the model is at home with. The first kind that owns a model adapts it.
"""

from __future__ import annotations

from types import ModuleType

import jax

from phosphene.errors import UnknownModel
from phosphene_jax.adapters import equinox, function, linen, nnx
from phosphene_jax.adapters.adapted import Adapted
from phosphene_jax.adapters.calling import Calling

__all__ = ["Adapted", "Calling", "adapt", "adapter_of"]

KINDS: tuple[ModuleType, ...] = (nnx, linen, equinox, function)
"""In the order in which they are asked; `function` takes any callable, so it is the last."""


def adapter_of(model: object) -> ModuleType | None:
    """The kind that owns a model, or None."""
    return next((kind for kind in KINDS if kind.owns(model)), None)


def adapt(model: object, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """The model as a marked pure function.

    Parameters
    ----------
    model : object
        The user's.
    images : ShapeDtypeStruct (1, H, W, C)
        What it is at home with.
    calling : Calling
        How it is called, and which part of what it returns is its output.

    Returns
    -------
    Adapted

    Raises
    ------
    UnknownModel
        When no kind owns it.
    """
    kind = adapter_of(model)
    if kind is None:
        raise UnknownModel(
            "model: expected an nnx module, (linen module, variables), an Equinox module or a function, "
            f"got {type(model).__qualname__}."
        )
    adapted: Adapted = kind.adapt(model, images, calling)
    return adapted
