"""Similarity of a picture's path through the layers to that of real images, after Geirhos et al. (2023).

A unit may respond to pictures through other circuits than to photographs; its picture then says nothing about its function.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import ranks
from phosphene.types import Floats

__all__ = ["path_similarity"]

STRONGEST = 16
"""Number of images that activate a unit most, with which its picture is compared."""


def path_similarity(
    natural: Floats, path: Mapping[str, Floats], pictures: Mapping[str, Floats], layers: tuple[tuple[str, ...], ...]
) -> Floats:
    """Similarity of each picture's activations to those of the images that activate its unit most.

    In each layer, channels are averaged over positions and standardised by their values on real images; images are compared by
    Spearman's rank correlation over channels. 1: as similar to the most activating images as they are to one another; 0: no
    more than a random image. Layers are averaged, weighted by the difference of these two references.

    Parameters
    ----------
    natural : (U, N)
        Values of U units on N real images.
    path : mapping of str to (N, C)
        Activations of these images, by layer.
    pictures : mapping of str to (U, C)
        Activations of one picture per unit, by layer.
    layers : tuple of tuple of str
        Layers on the path of each unit.

    Returns
    -------
    numpy.ndarray (U,)
        NaN when the most activating images are not similar to one another in any layer.
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
    """Ranks over channels, centred and of unit length, so that products are Spearman correlations; ties share a rank."""
    found = ranks(cells)
    found -= found.mean(axis=1, keepdims=True)
    unit: Floats = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
