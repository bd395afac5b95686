"""Batch sizes that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from phosphene.backend import Network

__all__ = ["MEMORY_BUDGET", "batch_by_memory"]

MEMORY_BUDGET = 1 << 30
"""Approximate limit of the activations of one batch in bytes, by which the default batch size is chosen."""


def batch_by_memory(network: Network, layers: Sequence[str]) -> int:
    """Largest batch size, at most 64, for which the activations up to the last of `layers` fit into `MEMORY_BUDGET`."""
    last = network.layers.last(layers)
    values = 0
    for path, layer in network.layers.items():
        values += int(np.prod(layer.shape, dtype=np.int64))
        if path == last:
            break
    return int(max(1, min(64, MEMORY_BUDGET // max(1, 4 * values))))
