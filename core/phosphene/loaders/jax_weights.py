"""Load a ``.safetensors`` file into a JAX model: an nnx module, or a pair (module or function, nested mapping)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.loaders.assignment import check_finite, compare
from phosphene.loaders.weight_files import read_numpy

__all__ = ["fill_jax"]

FIX = "The keys of a file for a JAX model are the dotted paths of its arrays."


def fill_jax(model: Any, path: Path) -> Any:
    """Return a model with the arrays of a file.

    Parameters
    ----------
    model : flax.nnx.Module, or (module or function, nested mapping of arrays)
        A module is changed in place, a pair is not.
    path : Path
        A ``.safetensors`` file whose keys are the dotted paths in ``nnx.state(model)``, or in the mapping.

    Returns
    -------
    object
        The model to wrap: the same module, or a new pair.

    Raises
    ------
    InvalidParameter
        If the model or the file is of another kind.
    CorruptWeights
        If the file cannot be read, or keys or shapes differ from those of the model.
    """
    import jax.numpy as jnp

    found = read_numpy(path)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], Mapping):
        leaves = dict(_leaves(model[1]))
        _check(path, leaves, found)
        new = {key: jnp.asarray(found[key], leaf.dtype) for key, leaf in leaves.items()}
        return model[0], _rebuilt(model[1], new)
    from flax import nnx

    if not isinstance(model, nnx.Module):
        raise InvalidParameter(
            "weights",
            allowed="None for a model of this kind",
            received=str(path),
            fix="Files can be loaded into a flax.nnx module or a pair with a nested mapping; load others in the factory.",
        )
    # Counters and keys of dropout are state, but not weights.
    state = nnx.state(model, nnx.Not(nnx.RngState))
    flat = {".".join(map(str, place)): variable for place, variable in nnx.to_flat_state(state)}
    _check(path, {key: variable[...] for key, variable in flat.items()}, found)
    for key, variable in flat.items():
        variable[...] = jnp.asarray(found[key], variable[...].dtype)
    nnx.update(model, state)
    return model


def _check(path: Path, leaves: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    wanted = {key: np.shape(leaf) for key, leaf in leaves.items()}
    compare(str(path), wanted, {key: np.shape(value) for key, value in found.items()}, FIX)
    check_finite(str(path), found)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _rebuilt(tree: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    return {
        key: _rebuilt(value, new, f"{path}{key}.") if isinstance(value, Mapping) else new[f"{path}{key}"]
        for key, value in tree.items()
    }
