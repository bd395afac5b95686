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

from phosphene.errors import UnknownModel
from phosphene.types import Array
from phosphene_jax.adapters.adapted import Adapted, count, drawn_key, mark, path_text, scope
from phosphene_jax.adapters.invocation import EVALUATION, Calling
from phosphene_jax.batch_axis import front

__all__ = ["adapt", "owns"]

MAINS = "_phosphene_mains"
"""Attribute of a subclass that holds the index of the main output of its calls."""


def owns(model: object) -> bool:
    """Whether `model` is an Equinox module that can be called, alone or with its ``equinox.nn.State``."""
    equinox = sys.modules.get("equinox")
    if equinox is None:
        return False
    if isinstance(model, tuple):
        known = len(model) == 2 and isinstance(model[0], equinox.Module)
        return known and (isinstance(model[1], equinox.nn.State) or _is_partition(model))
    return isinstance(model, equinox.Module) and callable(model)


def adapt(model: Any, images: jax.ShapeDtypeStruct, calling: Calling) -> Adapted:
    """See `phosphene_jax.adapters.Adapted`."""
    import equinox

    if isinstance(model, tuple) and _is_partition(model):
        whole = "the module" if model[1] is None else "eqx.combine(params, static)"
        raise UnknownModel(
            f"model: expected an Equinox module, or (module, state), got ({', '.join(type(part).__name__ for part in model)}). "
            f"Hand over {whole}, with its state if it has one: ({whole}, state)."
        )
    module, state = model if isinstance(model, tuple) else (model, None)
    if state is None and "state" in _required(module):
        raise UnknownModel(
            f"model: {type(module).__name__} needs its state. Hand over (model, state), as eqx.nn.make_with_state returns them."
        )
    # Equinox rejects a state that is used twice: use a copy.
    held, shape = (None, None) if state is None else jax.tree.flatten(state)
    name = type(module).__name__
    kinds: dict[str, str] = {}
    mains: dict[str, str] = calling.mains
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

    def call(weights: Sequence[Array], image: Array, draw: Array | None) -> Array | None:
        given = iter(weights)
        leaves, structure = jax.tree.flatten(module)
        filled = jax.tree.unflatten(structure, [next(given) if _is_array(leaf) else leaf for leaf in leaves])
        copy = equinox.nn.inference_mode(filled)
        marked: list[Any] = []
        for path, part in _parts(copy):
            kind: Any = type(part)
            marking = _marking(kind, path)
            object.__setattr__(part, "__class__", marking)
            marked.append(marking)
        settings: dict[str, Any] = dict(EVALUATION)
        if shape is not None:
            settings["state"] = jax.tree.unflatten(shape, list(given))
        with scope(""):
            key = lambda _: drawn_key(draw)  # noqa: E731
            value = calling.call(copy, image, name=name, settings=settings, key=key, batched=False)
        for marking in marked:
            mains.update(getattr(marking, MAINS))
        if isinstance(value, tuple):
            rest = [item for item in value if not isinstance(item, equinox.nn.State)]
            value = rest[0] if len(rest) == 1 else type(value)(rest) if len(rest) < len(value) else value
        return calling.output_of(value)

    return Adapted(name, read, call, kinds, mains, parameters, training, per_example=True)


def _is_partition(model: Any) -> bool:
    """Whether a pair is a module without state, or the arrays and the rest of a module that was partitioned."""
    return model[1] is None or type(model[0]) is type(model[1])


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
    mains: dict[str, str] = {}

    @functools.wraps(original)
    def __call__(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with scope(path):
            value = original(self, *arguments, **keywords)
        # Inside a vmap, over tokens for example, `front` puts the mapped axis first.
        return mark(value, path, mains, move=front)

    return type(kind)(kind.__name__, (kind,), {"__call__": __call__, "__module__": kind.__module__, MAINS: mains})


def _required(module: Any) -> list[str]:
    """Names of the arguments that a module cannot be called without."""
    parameters = inspect.signature(module.__call__).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")
