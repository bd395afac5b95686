"""flax.nnx modules: marked on a merged copy in which each submodule has a subclass of its class.

This covers inherited and overridden ``__call__``, shared modules, remat, inner jit and scan, and changes neither the user's
model nor its classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from phosphene.errors import ModelFailed, UnknownModel
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, drawn_key, mark, path_text, scope
from phosphene_jax.adapters.invocation import EVALUATION, Calling

__all__ = ["adapt", "owns"]

_TRAINING = (("use_running_average", False), ("deterministic", False))


def owns(model: object) -> bool:
    """Whether `model` is a flax.nnx module, or the parts into which ``nnx.split`` takes one, which are refused."""
    module = sys.modules.get("flax.nnx")
    return module is not None and (isinstance(model, module.Module) or _is_split(model))


def _is_split(model: object) -> bool:
    nnx = sys.modules["flax.nnx"]
    held = model if isinstance(model, tuple) else ()
    return bool(held) and isinstance(held[0], (nnx.GraphDef, nnx.Module)) and len(held) > 1


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    from flax import nnx

    if isinstance(model, tuple):
        parts = ", ".join(type(part).__name__ for part in model)
        whole = (
            "nnx.merge(graphdef, state)"
            if isinstance(model[0], nnx.GraphDef)
            else "the module alone, which holds its state"
        )
        raise UnknownModel(f"model: expected an nnx module, got ({parts}). Hand over {whole}.")
    if not callable(model):
        raise UnknownModel(
            f"model: expected an nnx module that can be called, but {type(model).__name__} has no __call__. Hand over a function "
            "and its parameters, (f, parameters), or give the class a __call__."
        )
    graph, state = nnx.split(model)
    structure: Any = jax.tree.structure(state)
    kinds: dict[str, str] = {}
    mains: dict[str, str] = calling.mains
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

    def call(weights: Sequence[Array], images: Array, draw: Array | None) -> Array | None:
        leaves = weights if draw is None else [_folded(leaf, draw) for leaf in weights]
        copy = nnx.merge(graph, jax.tree.unflatten(structure, leaves))
        copy.eval()
        for path, part in nnx.iter_graph(copy):
            if path and isinstance(part, nnx.Module) and callable(part):
                object.__setattr__(part, "__class__", _marking(type(part), ".".join(map(str, path)), mains))
        with scope(""):
            value = calling.call(
                copy,
                images,
                name=type(model).__name__,
                settings=EVALUATION,
                key=lambda name: nnx.Rngs(drawn_key(draw)) if name == "rngs" else drawn_key(draw),
            )
        return calling.output_of(value)

    return Adapted(type(model).__name__, read, call, kinds, mains, parameters, training, channels_last=True)


def _folded(leaf: Array, draw: Array) -> Array:
    """A leaf of the state; the keys of its random streams are folded with `draw`."""
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    fold = jax.random.fold_in
    for _ in leaf.shape:  # streams that were split have several keys
        fold = jax.vmap(fold, in_axes=(0, None))
    return fold(leaf, draw)


def _marking(kind: type, path: str, mains: dict[str, str]) -> type:
    """Return a subclass of `kind` whose calls mark their outputs."""
    original: Callable[..., Any] = kind.__call__

    def __call__(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with scope(path):
            value = original(self, *arguments, **keywords)
        return mark(value, path, mains)

    return type(kind.__name__, (kind,), {"__call__": __call__})
