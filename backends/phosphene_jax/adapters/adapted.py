"""The result of an adapter, and helpers to mark layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from phosphene.types import Array
from phosphene_jax.attention import SCOPE

__all__ = [
    "Adapted",
    "count",
    "floating_in",
    "is_floating",
    "logits_of",
    "main_array",
    "mark",
    "named",
    "path_text",
    "scope",
]


@dataclass(frozen=True)
class Adapted:
    """A model as a marked pure function.

    Attributes
    ----------
    name : str
    read : callable
        ``() -> [(path, array)]``: the current weights.
    call : callable
        ``(weights, images) -> array or None``, in which layers are marked by name; `weights` are in the order of `read`. It
        returns the layer `OUTPUT`, or None if the output is ambiguous.
    kinds : mapping of str to str
        Layer path to class name; complete after `call` has been traced.
    parameters : mapping of str to int
        Layer path to number of trainable values; the empty path stands for the whole model.
    training : bool, default False
        Whether any part is in training mode.
    per_example : bool, default False
        Whether `call` takes one image, channel-first ``(C, H, W)``, instead of a batch ``(N, H, W, C)``.
    channels_last : bool, default False
        Whether channels are last by convention of the framework, which is assumed if operations do not determine the axis.
    """

    name: str
    read: Callable[[], list[tuple[str, Array]]]
    call: Callable[[Sequence[Array], Array], Array | None]
    kinds: Mapping[str, str]
    parameters: Mapping[str, int]
    training: bool = False
    per_example: bool = False
    channels_last: bool = False


def mark(value: Any, name: str, *, rank: int = 2, move: Callable[[Array], Array] = lambda array: array) -> Any:
    """Return `value` with its main array, passed through `move`, marked as a layer if it has at least `rank` axes."""
    array = main_array(value)
    if array is None or array.ndim < rank:
        return value
    marked = named(move(array), name)
    return jax.tree.map(lambda leaf: marked if leaf is array else leaf, value)


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
    return [leaf for leaf in jax.tree.leaves(value) if is_floating(leaf)]


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
