"""flax.nnx modules: marked on a merged copy in which each submodule has a subclass of its class.

This covers inherited and overridden ``__call__``, shared modules, remat, inner jit and scan, and changes neither the user's
model nor its classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax

from phosphene.errors import ModelFailed
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, mark, path_text, scope
from phosphene_jax.adapters.invocation import EVALUATION, Calling

__all__ = ["adapt", "owns"]

_TRAINING = (("use_running_average", False), ("deterministic", False))


def owns(model: object) -> bool:
    """Whether `model` is a flax.nnx module."""
    module = sys.modules.get("flax.nnx")
    return module is not None and isinstance(model, module.Module)


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    from flax import nnx

    graph, state = nnx.split(model)
    structure: Any = jax.tree.structure(state)
    kinds: dict[str, str] = {}
    parameters: dict[str, int] = {}
    training = False
    for path, part in nnx.iter_graph(model):
        if not isinstance(part, nnx.Module):
            continue
        training = training or any(getattr(part, name, None) is value for name, value in _TRAINING)
        dotted = ".".join(map(str, path))
        kinds[dotted] = type(part).__name__
        parameters[dotted] = count(jax.tree.leaves(nnx.state(part, nnx.Param)))
    kinds.pop("", None)

    def read() -> list[tuple[str, Array]]:
        now = nnx.state(model)
        if jax.tree.structure(now) != structure:
            raise ModelFailed(
                f"{type(model).__name__} has a different structure than when it was wrapped. Wrap it again."
            )
        leaves = jax.tree_util.tree_leaves_with_path(now)
        return [(path_text(path).removesuffix(".value"), leaf) for path, leaf in leaves]

    def call(weights: Sequence[Array], images: Array) -> Array | None:
        copy = nnx.merge(graph, jax.tree.unflatten(structure, weights))
        copy.eval()
        for path, part in nnx.iter_graph(copy):
            if path and isinstance(part, nnx.Module) and callable(part):
                object.__setattr__(part, "__class__", _marking(type(part), ".".join(map(str, path))))
        with scope(""):
            value = calling.call(copy, images, name=type(model).__name__, settings=EVALUATION)
        return calling.output_of(value)

    return Adapted(type(model).__name__, read, call, kinds, parameters, training, channels_last=True)


def _marking(kind: type, path: str) -> type:
    """Return a subclass of `kind` whose calls mark their outputs."""
    original: Callable[..., Any] = kind.__call__

    def __call__(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with scope(path):
            value = original(self, *arguments, **keywords)
        return mark(value, path)

    return type(kind.__name__, (kind,), {"__call__": __call__})
