"""Arrays of a file into a model: all of them or none, and nothing before everything has been seen to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from phosphene.errors import CorruptWeights

__all__ = ["compare", "fill_module", "misfit"]

SHOWN = 4
"""Keys that a message names of each sort."""


def compare(source: str, wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], fix: str) -> None:
    """Hold the shapes of a file against those of a model.

    Parameters
    ----------
    source : str
        Where the arrays are from; for the message.
    wanted, found : mapping of str to sequence of int
        Shapes by key, of the model and of the file.
    fix : str
        What to do about a misfit, as a sentence.

    Raises
    ------
    CorruptWeights
        When they are not the same.
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
    """The error that names what does not fit.

    Parameters
    ----------
    source : str
    missing, unexpected : iterable of str
        Keys that only the model has, and that only the file has.
    other : iterable of (str, shape, shape)
        Keys with the shape in the file and in the model.
    fix : str

    Returns
    -------
    CorruptWeights
    """
    shapes = [f"{key} is {tuple(here)} there and {tuple(there)} in the model" for key, here, there in other]
    sorts = (("missing", list(missing)), ("unexpected", list(unexpected)), ("of another shape", shapes))
    parts = [f"{len(keys)} {sort}: {_listed(keys)}" for sort, keys in sorts if keys]
    return CorruptWeights(source, f"does not fit the model, which was left as it was. {'; '.join(parts)}. {fix}")


def fill_module(model: Any, arrays: Mapping[str, Any], source: str, fix: str) -> None:
    """Give a PyTorch module the tensors of a file, strictly.

    Parameters
    ----------
    model : torch.nn.Module
    arrays : mapping of str to torch.Tensor
    source, fix : str
        For the message.

    Raises
    ------
    CorruptWeights
        When keys or shapes are not those of the module, or a parameter would not be finite.
    """
    import torch

    own = {key: value for key, value in model.state_dict().items() if torch.is_tensor(value)}
    # Files from before there was such a counter lack it, and it plays no part in evaluation.
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
    """Refuse NaN and infinity among `arrays`.

    Raises
    ------
    CorruptWeights
        Naming the first array that holds one.
    """
    for key, value in arrays.items():
        if concerned(key) and not finite(value):
            raise CorruptWeights(source, f"{key} holds NaN or infinity")


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
