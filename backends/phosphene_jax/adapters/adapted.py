"""The result of an adapter, and helpers to mark layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from phosphene.types import Array
from phosphene_jax.attention import SCOPE
from phosphene_jax.paths import index_text

__all__ = [
    "Adapted",
    "count",
    "drawn_key",
    "floating_in",
    "is_floating",
    "logits_of",
    "main_array",
    "mark",
    "named",
    "parts_of",
    "path_text",
    "scope",
]


STATES = frozenset({("equinox", "State"), ("flax", "State"), ("flax", "Module")})
"""Package and class of what is no activation although it holds arrays."""


@dataclass(frozen=True)
class Adapted:
    """A model as a marked pure function.

    Attributes
    ----------
    name : str
    read : callable
        ``() -> [(path, array)]``: the current weights.
    call : callable
        ``(weights, images, draw) -> array or None``, in which layers are marked by name; `weights` are in the order of `read`,
        and `draw` is an integer array that seeds random numbers, or None for fixed ones. It returns the layer `OUTPUT`, or
        None if the output is ambiguous.
    kinds : mapping of str to str
        Layer path to class name; complete after `call` has been traced.
    mains : mapping of str to str
        Layer path to the index of the main one of several outputs, such as ``"[0]"``; complete like `kinds`.
    parameters : mapping of str to int
        Layer path to number of trainable values; the empty path stands for the whole model.
    training : bool, default False
        Whether any part is in training mode.
    per_example : bool, default False
        Whether `call` takes one image, channel-first ``(C, H, W)``, instead of a batch ``(N, H, W, C)``.
    channels_last : bool, default False
        Whether channels are last by convention of the framework, which is assumed if operations do not determine the axis.
    opaque : str
        Why no inner layer can be read, if there is none.
    advice : callable
        ``exception -> str``: what to do about an exception of the model, empty if it is not known.
    """

    name: str
    read: Callable[[], list[tuple[str, Array]]]
    call: Callable[[Sequence[Array], Array, Array | None], Array | None]
    kinds: Mapping[str, str]
    mains: Mapping[str, str]
    parameters: Mapping[str, int]
    training: bool = False
    per_example: bool = False
    channels_last: bool = False
    opaque: str = "it calls no inner module"
    advice: Callable[[Exception], str] = lambda error: ""


def mark(
    value: Any, name: str, mains: MutableMapping[str, str], *, move: Callable[[Array], Array] = lambda array: array
) -> Any:
    """Return `value` with its floating arrays, passed through `move`, marked as layers.

    The main array is marked by `name`, and each of the others by `name` and its index: ``name[1]``, ``name["aux"]``. The index
    of the main array is kept in `mains`.
    """
    main = main_array(value)
    if main is None:
        return value
    marked = {id(main): named(move(main), name)}
    for index, leaf in parts_of(value):
        if leaf is main:
            mains[name] = index
        if id(leaf) not in marked:
            marked[id(leaf)] = named(move(leaf), name + index)
    return jax.tree.map(lambda leaf: marked.get(id(leaf), leaf), value, is_leaf=_is_held)


def parts_of(value: Any, depth: int = 2) -> list[tuple[str, Array]]:
    """Return the floating arrays of a return value, at most `depth` containers deep, with the index of each."""
    leaves = jax.tree_util.tree_leaves_with_path(value, is_leaf=_is_held)
    return [(index_text(path), leaf) for path, leaf in leaves if len(path) <= depth and is_floating(leaf)]


def named(array: Array, name: str) -> Array:
    """Return `array`, marked with a name for the interpreter."""
    return checkpoint_name(array, name)  # type: ignore[no-untyped-call]


def scope(path: str) -> AbstractContextManager[Any]:
    """A context in which traced equations belong to the module `path`."""
    return jax.named_scope(SCOPE + path)


def main_array(value: Any) -> Array | None:
    """Return the main array of an output: itself, its ``logits``, or its first floating array."""
    logits = logits_of(value)
    return logits if logits is not None else next(iter(floating_in(value)), None)


def logits_of(value: Any) -> Array | None:
    """Return the floating array named ``logits`` of an output, or None."""
    logits = value.get("logits") if isinstance(value, Mapping) else getattr(value, "logits", None)
    return logits if is_floating(logits) else None


def floating_in(value: Any) -> list[Array]:
    """Return all floating arrays of a tree."""
    return [leaf for leaf in jax.tree.leaves(value, is_leaf=_is_held) if is_floating(leaf)]


def _is_held(node: Any) -> bool:
    """Whether a node is a model or its state, which a module may return beside its activations."""
    bases = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(node).__mro__}
    # A structured output may be an Equinox module too, but is not called.
    return not bases.isdisjoint(STATES) or (("equinox", "Module") in bases and callable(node))


def drawn_key(draw: Array | None) -> Array:
    """Return the key of a model that takes one: a fixed one, or one for each `draw`."""
    key = jax.random.key(0)
    return key if draw is None else jax.random.fold_in(key, draw)


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is a floating array."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def count(leaves: Iterable[Any]) -> int:
    """Return the number of floating values in all `leaves`."""
    return sum(math.prod(leaf.shape) for leaf in leaves if is_floating(leaf))


def path_text(path: Sequence[Any]) -> str:
    """Return a tree path joined by dots."""
    parts = []
    for key in path:
        for attribute in ("key", "name", "idx"):
            if hasattr(key, attribute):
                parts.append(str(getattr(key, attribute)))
                break
        else:
            parts.append(str(key))
    return ".".join(part.strip(".") for part in parts)
