"""flax.linen modules with variables, ``(module, variables)``, or bound modules; marked by intercepting methods."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax

from phosphene.errors import UnknownModel
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, is_floating, mark, path_text, scope
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
    structure = jax.tree.structure(variables)
    kinds: dict[str, str] = {}

    def marked(following: Callable[..., Any], arguments: Any, keywords: Any, context: Any) -> Any:
        path = ".".join(context.module.path)
        if context.method_name != "__call__" or not path:
            return following(*arguments, **keywords)
        with scope(path):
            value = following(*arguments, **keywords)
        kinds[path] = type(context.module).__name__
        return mark(value, path)

    def read() -> list[tuple[str, Array]]:
        return [(path_text(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)]

    def call(weights: Sequence[Array], images: Array) -> Array | None:
        def apply(*arguments: Any, **keywords: Any) -> Any:
            return module.apply(jax.tree.unflatten(structure, weights), *arguments, **keywords)

        name = type(module).__name__
        with linen.intercept_methods(marked), scope(""):
            value = calling.call(apply, images, signature=module.__call__, name=name, settings=EVALUATION)
        return calling.output_of(value)

    return Adapted(type(module).__name__, read, call, kinds, _parameters(variables), channels_last=True)


def _parameters(variables: Any) -> dict[str, int]:
    """Return the number of trainable values by module path; a parameter counts for all modules that contain it."""
    totals: Counter[str] = Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables.get("params", {})):
        if is_floating(leaf):
            parts = path_text(path).split(".")
            totals.update({".".join(parts[:depth]): count([leaf]) for depth in range(len(parts))})
    return dict(totals)
