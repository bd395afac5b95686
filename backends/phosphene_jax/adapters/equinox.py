"""Equinox modules, alone or with their state: marked on a copy in which each submodule has a subclass of its class.

Equinox models take one image, channel-first, and so does their marked function. Their modules are frozen trees: the copy is made
by flattening and unflattening the tree, and the path of a module is stored in its class, which is preserved by `jax.jit`,
`jax.vmap`, a partition and a scan over stacked layers.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, mark, path_text, scope
from phosphene_jax.adapters.invocation import EVALUATION, Calling
from phosphene_jax.batch_axis import front

__all__ = ["adapt", "owns"]

_OPTIONAL = inspect.Parameter("key", inspect.Parameter.KEYWORD_ONLY, default=None)


def owns(model: object) -> bool:
    """Whether `model` is an Equinox module that can be called, alone or with its ``equinox.nn.State``."""
    equinox = sys.modules.get("equinox")
    if equinox is None:
        return False
    if isinstance(model, tuple):
        return len(model) == 2 and isinstance(model[0], equinox.Module) and isinstance(model[1], equinox.nn.State)
    return isinstance(model, equinox.Module) and callable(model)


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    import equinox

    module, state = model if isinstance(model, tuple) else (model, None)
    # Equinox rejects a state that is used twice: use a copy.
    held, shape = (None, None) if state is None else jax.tree.flatten(state)
    name = type(module).__name__
    kinds: dict[str, str] = {}
    parameters = {"": count(jax.tree.leaves(module))}
    training = getattr(module, "inference", None) is False
    for path, part in _parts(module):
        kinds[path] = type(part).__name__
        parameters[path] = count(jax.tree.leaves(part))
        training = training or getattr(part, "inference", None) is False

    def read() -> list[tuple[str, Array]]:
        leaves = [(path_text(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(module)]
        return [pair for pair in leaves if _is_array(pair[1])] + [
            (f"state.{index}", leaf) for index, leaf in enumerate(held or ())
        ]

    def call(weights: Sequence[Array], image: Array) -> Array | None:
        given = iter(weights)
        leaves, structure = jax.tree.flatten(module)
        filled = jax.tree.unflatten(structure, [next(given) if _is_array(leaf) else leaf for leaf in leaves])
        copy = equinox.nn.inference_mode(filled)
        for path, part in _parts(copy):
            kind: Any = type(part)
            object.__setattr__(part, "__class__", _marking(kind, path))
        settings: dict[str, Any] = dict(EVALUATION)
        if inspect.signature(copy).parameters.get("key", _OPTIONAL).default is inspect.Parameter.empty:
            settings["key"] = jax.random.key(0)
        if shape is not None:
            settings["state"] = jax.tree.unflatten(shape, list(given))
        with scope(""):
            value = calling.call(copy, image, name=name, settings=settings, batched=False)
        if isinstance(value, tuple):
            rest = [item for item in value if not isinstance(item, equinox.nn.State)]
            value = rest[0] if len(rest) == 1 else type(value)(rest) if len(rest) < len(value) else value
        return calling.output_of(value)

    return Adapted(name, read, call, kinds, parameters, training, per_example=True)


def _parts(module: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all callable modules inside a module, outer ones first."""
    import equinox

    def is_part(node: Any) -> bool:
        return node is not module and isinstance(node, equinox.Module)

    for path, part in jax.tree_util.tree_leaves_with_path(module, is_leaf=is_part):
        if isinstance(part, equinox.Module):
            dotted = ".".join(filter(None, [inside, path_text(path)]))
            # Equinox's own wrappers (of a jit, a vmap, a bound method) are private, and not layers.
            if callable(part) and not type(part).__name__.startswith("_"):
                yield dotted, part
            yield from _parts(part, dotted)


@functools.cache
def _marking(kind: Any, path: str) -> Any:
    """Return a subclass of `kind` whose calls mark their outputs; cached, since JAX never frees registered classes."""
    original: Callable[..., Any] = kind.__call__

    @functools.wraps(original)
    def __call__(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with scope(path):
            value = original(self, *arguments, **keywords)
        # Inside a vmap, over tokens for example, `front` puts the mapped axis first.
        return mark(value, path, rank=1, move=front)

    return type(kind)(kind.__name__, (kind,), {"__call__": __call__, "__module__": kind.__module__})


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")
