"""What every adapter makes of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from phosphene.layers import OUTPUT
from phosphene.types import Array

__all__ = ["Adapted", "count", "is_floating", "main_array", "mark", "mark_output", "path_text"]


@dataclass(frozen=True)
class Adapted:
    """A model as a marked pure function.

    Attributes
    ----------
    name : str
    read : callable
        ``() -> [(path, array)]``: the weights as they are now.
    call : callable
        ``(weights, images) -> array or None``, in which layers are marked by name; `weights` in the order of `read`. It
        returns the layer `OUTPUT`, where it is known which part of the model's output that is.
    kinds : mapping of str to str
        Layer path to class name; complete once `call` was traced.
    parameters : mapping of str to int
        Layer path to number of trained values; that of the whole model under the empty path.
    training : bool
        Whether some part was in training mode.
    """

    name: str
    read: Callable[[], list[tuple[str, Array]]]
    call: Callable[[Sequence[Array], Array], Array | None]
    kinds: Mapping[str, str]
    parameters: Mapping[str, int]
    training: bool = False


def mark(value: Any, name: str) -> Any:
    """`value` with its main array marked as a layer."""
    array = main_array(value)
    if array is None or array.ndim < 2:
        return value
    marked = _named(array, name)
    return jax.tree.map(lambda leaf: marked if leaf is array else leaf, value)


def mark_output(value: Any) -> Array | None:
    """The layer `OUTPUT` of a model's return value, marked: its ``logits``, or its only floating array; None otherwise."""
    array = _logits(value)
    if array is None:
        floating = _floating(value)
        array = floating[0] if len(floating) == 1 else None
    return None if array is None else _named(array, OUTPUT)


def main_array(value: Any) -> Array | None:
    """The array that a layer's output means: itself, its ``logits``, or the first floating array in it."""
    named = _logits(value)
    return named if named is not None else next(iter(_floating(value)), None)


def is_floating(leaf: Any) -> bool:
    """Whether a leaf is an array of floats."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def count(leaves: Iterable[Any]) -> int:
    """Number of floating values in all `leaves`."""
    return sum(math.prod(leaf.shape) for leaf in leaves if is_floating(leaf))


def _named(array: Array, name: str) -> Array:
    return checkpoint_name(array, name)  # type: ignore[no-untyped-call]


def _logits(value: Any) -> Array | None:
    named = value.get("logits") if isinstance(value, Mapping) else getattr(value, "logits", None)
    return named if is_floating(named) else None


def _floating(value: Any) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(value) if is_floating(leaf)]


def path_text(path: Sequence[Any]) -> str:
    """A tree path as dotted text."""
    parts = []
    for key in path:
        for attribute in ("key", "name", "idx"):
            if hasattr(key, attribute):
                parts.append(str(getattr(key, attribute)))
                break
        else:
            parts.append(str(key))
    return ".".join(part.strip(".") for part in parts if part.strip(".") != "value")
