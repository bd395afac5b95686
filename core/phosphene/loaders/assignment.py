"""Assign the arrays of a weights file to a model, after all of them have been checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from phosphene.errors import CorruptWeights

__all__ = ["compare", "fill_module", "misfit"]

SHOWN = 4
"""Number of keys of each kind that a message names."""


def compare(source: str, wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], fix: str) -> None:
    """Compare the shapes of a file with those of a model.

    Parameters
    ----------
    source : str
        Where the arrays are from, for the error message.
    wanted, found : mapping of str to sequence of int
        Shapes by key in the model and in the file.
    fix : str
        How to fix a mismatch, as a sentence.

    Raises
    ------
    CorruptWeights
        If keys or shapes differ.
    """
    shared = [key for key in wanted if key in found]
    other = [(key, found[key], wanted[key]) for key in shared if tuple(found[key]) != tuple(wanted[key])]
    missing, unexpected = [key for key in wanted if key not in found], [key for key in found if key not in wanted]
    if missing or unexpected or other:
        raise misfit(source, missing, unexpected, other, fix)


def misfit(
    source: str,
    missing: Iterable[str],
    unexpected: Iterable[str],
    other: Iterable[tuple[str, Sequence[int], Sequence[int]]],
    fix: str,
) -> CorruptWeights:
    """Return the error that names the arrays that do not fit.

    Parameters
    ----------
    source : str
    missing, unexpected : iterable of str
        Keys that only the model has, and keys that only the file has.
    other : iterable of (str, shape, shape)
        Keys with the shape in the file and the shape in the model.
    fix : str

    Returns
    -------
    CorruptWeights
    """
    shapes = [
        f"{key} has shape {tuple(here)} in the file and {tuple(there)} in the model" for key, here, there in other
    ]
    sorts = (("missing", list(missing)), ("unexpected", list(unexpected)), ("of another shape", shapes))
    parts = [f"{len(keys)} {sort}: {_listed(keys)}" for sort, keys in sorts if keys]
    return CorruptWeights(source, f"does not fit the model, which was not changed. {'; '.join(parts)}. {fix}")


def fill_module(model: Any, arrays: Mapping[str, Any], source: str, fix: str) -> None:
    """Load the tensors of a file into a PyTorch module; all keys and shapes must agree.

    Parameters
    ----------
    model : torch.nn.Module
    arrays : mapping of str to torch.Tensor
    source, fix : str
        For the error message.

    Raises
    ------
    CorruptWeights
        If keys or shapes differ from those of the module, or a parameter is not finite.
    """
    import torch

    own = {key: value for key, value in model.state_dict().items() if torch.is_tensor(value)}
    # Old files lack these counters, which are not used in evaluation.
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    wanted = {key: tuple(value.shape) for key, value in own.items() if key not in counters - set(arrays)}
    compare(source, wanted, {key: tuple(value.shape) for key, value in arrays.items()}, fix)
    parameters = dict(model.named_parameters())
    check_finite(source, arrays, lambda key: key in parameters, lambda value: bool(torch.isfinite(value).all()))
    model.load_state_dict(dict(arrays), strict=False)


def check_finite(
    source: str,
    arrays: Mapping[str, Any],
    concerned: Callable[[str], bool] = lambda key: True,
    finite: Callable[[Any], bool] = lambda value: bool(np.isfinite(np.asarray(value, np.float32)).all()),
) -> None:
    """Raise if an array contains NaN or infinity.

    Raises
    ------
    CorruptWeights
        With the name of the first such array.
    """
    for key, value in arrays.items():
        if concerned(key) and not finite(value):
            raise CorruptWeights(source, f"{key} contains NaN or infinity")


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
