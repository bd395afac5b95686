"""flax.linen modules with variables, ``(module, variables)``, or bound modules; marked by intercepting methods."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from phosphene.errors import UnknownModel
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, drawn_key, is_floating, mark, path_text, scope
from phosphene_jax.adapters.invocation import EVALUATION, Calling

__all__ = ["adapt", "owns"]


def owns(model: object) -> bool:
    """Whether `model` is a flax.linen module, bound or with its variables."""
    linen = sys.modules.get("flax.linen")
    module = model[0] if isinstance(model, tuple) and len(model) == 2 else model
    return linen is not None and isinstance(module, linen.Module)


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    from flax import linen

    if isinstance(model, tuple):
        module, variables = model
    elif model.scope is not None:
        module, variables = model.unbind()
    else:
        name = type(model).__name__
        raise UnknownModel(
            f"model: expected (module, variables), got the module {name} alone. Write ({name.lower()}, variables)."
        )
    if not isinstance(variables, Mapping):
        raise UnknownModel(
            f"model: expected (module, variables) with a mapping of variables, got ({type(module).__name__}, "
            f"{type(variables).__name__}). Hand over ({type(module).__name__.lower()}, {_said(variables)})."
        )
    structure = jax.tree.structure(variables)
    # A module that is in training mode updates its statistics: they may change during the call, and are dropped.
    changing = [kind for kind in variables if kind != "params"]
    kinds: dict[str, str] = {}
    mains: dict[str, str] = calling.mains

    def marked(following: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        path = ".".join(context.module.path)
        if context.method_name != "__call__" or not path:
            return following(*arguments, **keywords)
        with scope(path):
            value = following(*arguments, **keywords)
        kinds[path] = type(context.module).__name__
        return mark(value, path, mains)

    def read() -> list[tuple[str, Array]]:
        return [(path_text(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)]

    def call(weights: Sequence[Array], images: Array, draw: Array | None) -> Array | None:
        def apply(*arguments: Any, **keywords: Any) -> Any:
            # Linen draws the numbers of all streams that are not given, such as "dropout", from "params".
            filled, rngs = jax.tree.unflatten(structure, weights), {"params": drawn_key(draw)}
            value = module.apply(filled, *arguments, rngs=rngs, mutable=changing or False, **keywords)
            return value[0] if changing else value

        def key(name: str) -> Any:
            return {"dropout": drawn_key(draw)} if name == "rngs" else drawn_key(draw)

        name = type(module).__name__
        with linen.intercept_methods(marked), scope(""):
            value = calling.call(apply, images, signature=module.__call__, name=name, settings=EVALUATION, key=key)
        return calling.output_of(value)

    def advice(error: Exception) -> str:
        if type(error).__name__.startswith(("Scope", "ApplyScope")) and "params" not in variables:
            held = ", ".join(map(repr, list(variables)[:3]))
            return (
                f"The variables have no 'params', only {held or 'nothing'}: hand over all variables, as module.init returns them, "
                f"({type(module).__name__.lower()}, {{'params': params}})."
            )
        return ""

    return Adapted(
        type(module).__name__, read, call, kinds, mains, _parameters(variables), channels_last=True, advice=advice
    )


def _said(variables: Any) -> str:
    """The variables to hand over in place of a train state, or of something else."""
    if not hasattr(variables, "params"):
        return "module.init(key, images)"
    held = [name for name in ("params", "batch_stats") if hasattr(variables, name)]
    return "{" + ", ".join(f"{name!r}: state.{name}" for name in held) + "}"


def _parameters(variables: Any) -> dict[str, int]:
    """Return the number of trainable values by module path; a parameter counts for all modules that contain it."""
    totals: Counter[str] = Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables.get("params", {})):
        if is_floating(leaf):
            parts = path_text(path).split(".")
            totals.update({".".join(parts[:depth]): count([leaf]) for depth in range(len(parts))})
    return dict(totals)
