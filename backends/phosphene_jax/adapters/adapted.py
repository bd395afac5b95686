"""What every adapter makes of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from phosphene.layers import OUTPUT
from phosphene.types import Array

__all__ = ["Adapted", "main_array", "mark", "path_text"]


@dataclass(frozen=True)
class Adapted:
    """A model as a marked pure function.

    Attributes
    ----------
    name : str
    read : callable
        ``() -> [(path, array)]``: the weights as they are now.
    call : callable
        ``(weights, images) -> output``, in which layers are marked by name; `weights` in the order of `read`.
    kinds : mapping of str to str
        Layer path to class name.
    parameters : mapping of str to int
        Layer path to number of trained values.
    training : bool
        Whether some part was in training mode.
    """

    name: str
    read: Callable[[], list[tuple[str, Array]]]
    call: Callable[[Sequence[Array], Array], Any]
    kinds: Mapping[str, str]
    parameters: Mapping[str, int]
    training: bool = False


def mark(value: Any, name: str) -> Any:
    """`value` with its main array marked as a layer."""
    array = main_array(value)
    if array is None or array.ndim < 2:
        return value
    marked = checkpoint_name(array, name)  # type: ignore[no-untyped-call]
    return jax.tree.map(lambda leaf: marked if leaf is array else leaf, value)


def mark_output(value: Any) -> Any:
    """The model's return value, marked as the layer `OUTPUT` where it is known which array is meant."""
    leaves = [leaf for leaf in jax.tree.leaves(value) if hasattr(leaf, "dtype")]
    if (isinstance(value, Mapping) and "logits" in value) or hasattr(value, "logits") or len(leaves) == 1:
        return mark(value, OUTPUT)
    return value


def main_array(value: Any) -> Array | None:
    """The array that an output means: itself, its ``logits``, or the first floating array in it."""
    named = value.get("logits") if isinstance(value, Mapping) else getattr(value, "logits", None)
    if named is not None:
        return named
    for leaf in jax.tree.leaves(value):
        if hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
            return leaf
    return None


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
