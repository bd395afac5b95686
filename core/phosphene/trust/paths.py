"""Does a picture take the path through the layers that real images take? After Geirhos et al. (2023).

A unit may answer to pictures through other circuits than to photographs; then its picture says nothing of what it does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import ranks
from phosphene.types import Floats

__all__ = ["path_similarity"]

STRONGEST = 16
"""Images that excite a unit most, with which its picture is compared."""


def path_similarity(
    natural: Floats, path: Mapping[str, Floats], pictures: Mapping[str, Floats], layers: tuple[tuple[str, ...], ...]
) -> Floats:
    """How much more a picture's activations resemble those of a unit's strongest images than other images' do.

    In each layer, channels are averaged over positions and taken in deviations from their natural mean; images are compared by
    Spearman's rank correlation over channels. 1: the picture is as like the strongest images as these are to each other; 0: no
    more than any image. The layers' figures are averaged, each weighted by how far these two lie apart there.

    Parameters
    ----------
    natural : (U, N)
        Values of U units on N real images.
    path : mapping of str to (N, C)
        Layers of these images.
    pictures : mapping of str to (U, C)
        The same layers of one picture a unit.
    layers : tuple of tuple of str
        For each unit, those that lie on its path.

    Returns
    -------
    numpy.ndarray (U,)
        NaN where the strongest images have nothing in common in any layer.
    """
    placed, seen = {}, {}
    for layer, cells in path.items():
        mean, deviation = cells.mean(axis=0), cells.std(axis=0) + 1e-12
        placed[layer] = _ranked((cells - mean) / deviation)
        seen[layer] = _ranked((pictures[layer] - mean) / deviation)
    found = np.full(len(natural), np.nan)
    for row, values in enumerate(natural):
        order = np.argsort(-values, kind="stable")
        count = min(STRONGEST, max(2, len(order) // 4))
        best, rest = order[:count], order[len(order) // 2 :]
        gain = spread = 0.0
        for layer in layers[row]:
            strongest = placed[layer][best]
            together = strongest @ strongest.T
            alike = (together.sum() - np.trace(together)) / (count * (count - 1))
            unlike = float((strongest @ placed[layer][rest].T).mean())
            own = float((strongest @ seen[layer][row]).mean())
            if alike > unlike:
                gain += own - unlike
                spread += alike - unlike
        if spread > 0:
            found[row] = gain / spread
    return found


def _ranked(cells: NDArray[np.float64]) -> Floats:
    """Ranks over channels, centred and of length one, so that a product is Spearman's correlation; ties share a rank."""
    found = ranks(cells)
    found -= found.mean(axis=1, keepdims=True)
    unit: Floats = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
