"""Plain functions, whose author marks layers with ``jax.ad_checkpoint.checkpoint_name``.

Either ``f(images)``, or ``(f, parameters)`` with ``f(parameters, images)``. What a bare function closes over is read again
each time its weights are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import jax

from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, mark_output, path_text

__all__ = ["adapt", "owns"]


def owns(model: object) -> bool:
    """Whether `model` is a callable that is no other framework's module, or a pair of one and its parameters."""
    if isinstance(model, tuple) and len(model) == 2:
        return callable(model[0])
    torch = sys.modules.get("torch")
    return callable(model) and not (torch is not None and isinstance(model, torch.nn.Module))


def adapt(model: Any) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    function, parameters = model if isinstance(model, tuple) else (model, ())
    structure = jax.tree.structure(parameters)

    def read() -> list[tuple[str, Array]]:
        return [(path_text(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)]

    def call(weights: Sequence[Array], images: Array) -> Any:
        given = jax.tree.unflatten(structure, weights)
        return mark_output(function(given, images) if isinstance(model, tuple) else function(images))

    name = getattr(function, "__name__", type(function).__name__)
    return Adapted(name=name, read=read, call=call, kinds={}, parameters={})
