"""Values that are not finite, counted on the way out of a network and reported in one warning."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import ModelWarning

__all__ = ["NotFinite"]


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
