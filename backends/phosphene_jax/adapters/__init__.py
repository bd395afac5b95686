"""From a user's model to a marked pure function: one small file a kind.

A kind is a module with ``owns(model) -> bool`` and ``adapt(model) -> Adapted``. The first that owns a model adapts it.
"""

from __future__ import annotations

from types import ModuleType

from phosphene.errors import UnknownModel
from phosphene_jax.adapters import function, nnx
from phosphene_jax.adapters.adapted import Adapted

__all__ = ["Adapted", "adapt", "adapter_of"]

KINDS: tuple[ModuleType, ...] = (nnx, function)
"""In the order in which they are asked; flax.linen and Equinox belong before `function`, which takes any callable."""


def adapter_of(model: object) -> ModuleType | None:
    """The kind that owns a model, or None."""
    return next((kind for kind in KINDS if kind.owns(model)), None)


def adapt(model: object) -> Adapted:
    """The model as a marked pure function.

    Raises
    ------
    UnknownModel
        When no kind owns it.
    """
    kind = adapter_of(model)
    if kind is None:
        raise UnknownModel(f"model: expected an nnx module or a function, got {type(model).__qualname__}.")
    adapted: Adapted = kind.adapt(model)
    return adapted
