"""Values that are not finite, counted on the way out of a network and reported in one warning."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import ModelWarning

__all__ = ["NotFinite", "finite_part", "mean_over_positions", "without_gaps"]


class NotFinite:
    """Counts of NaN and infinite values per layer, over all batches of a call.

    Parameters
    ----------
    network : str
        Name of the network, for the warning.
    """

    def __init__(self, network: str) -> None:
        self._network = network
        self._bad: Counter[str] = Counter()
        self._total: Counter[str] = Counter()

    def add(self, path: str, values: NDArray[Any]) -> None:
        """Count the values of one batch of the layer `path`."""
        self._total[path] += values.size
        # A sum costs one pass and no memory; it is finite only if all values are.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = bool(np.isfinite(values.sum(dtype=np.float64)))
        if not finite:
            self._bad[path] += int(values.size - np.isfinite(values).sum())

    def warn(self, *, stacklevel: int = 3) -> None:
        """Issue one `ModelWarning` that names the first layers with such values, if there are any."""
        found = [(path, count) for path, count in self._bad.items() if count]
        if not found:
            return
        first = ", ".join(f"{count:,} of {self._total[path]:,} values of {path!r}" for path, count in found[:3])
        rest = f" and values of {len(found) - 3} more layers" if len(found) > 3 else ""
        warnings.warn(
            f"{self._network}: {first}{rest} are NaN or infinite, so results that depend on them are not valid. Look for such "
            "values in the weights, or use a wider precision (dtype='float32').",
            ModelWarning,
            stacklevel=stacklevel,
        )


def mean_over_positions(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of the finite values of ``(N, ..., C)`` over all positions, ``(N, C)``; NaN where there are none."""
    rows = cells.reshape(len(cells), -1, cells.shape[-1])
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.asarray(rows.mean(axis=1, dtype=np.float64))
    if np.all(np.isfinite(mean)):
        return mean
    valid = np.isfinite(rows)
    count = valid.sum(axis=1)
    some = np.where(valid, rows, 0).sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    return np.where(count > 0, some, np.nan)


def finite_part(vectors: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the rows and the columns of vectors ``(N, C)`` that can be used where some values are NaN or infinite.

    A row without any finite value is left out; of the other rows, a column that is not finite everywhere is.

    Returns
    -------
    rows : (N,)
    columns : (C,)
    """
    valid = np.isfinite(vectors)
    rows = np.asarray(valid.any(axis=1), np.bool_)
    return rows, np.asarray(valid[rows].all(axis=0) & rows.any(), np.bool_)


def without_gaps(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors ``(N, C)`` with the mean of the other values of a column in place of NaN and infinity; 0 if it has no others."""
    valid = np.isfinite(vectors)
    if valid.all():
        return vectors
    mean = np.where(valid, vectors, 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    return np.where(valid, vectors, mean)
