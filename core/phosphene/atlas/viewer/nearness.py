"""The nearest cells in the space of the activations, and the evidence for each class in each cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.evidence import Evidence
from phosphene.atlas.partition import directions
from phosphene.types import Floats

__all__ = ["NEAREST", "evidence_of_cells", "nearest_cells"]

NEAREST = 6
"""Number of nearest cells shown per cell."""

BLOCK = 2048
"""Number of cells whose cosines to all others are held at once."""

NUMBERS = 5_000_000
"""Numbers that are held in double precision at once."""


def nearest_cells(means: NDArray[np.floating], count: int = NEAREST) -> NDArray[np.int64]:
    """Find the nearest cells of each cell by the cosine of their means, nearest first.

    Parameters
    ----------
    means : (M, C)
    count : int, default 6

    Returns
    -------
    numpy.ndarray (M, count)
        Indices of cells; M if there are no more.
    """
    unit = directions(means)
    found = np.full((len(unit), count), len(unit), np.int64)
    most = min(count, len(unit) - 1)
    if most < 1:
        return found
    for first in range(0, len(unit), BLOCK):
        cosine = unit[first : first + BLOCK] @ unit.T
        own = np.arange(len(cosine))
        cosine[own, first + own] = -np.inf
        near = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(cosine, near, 1), axis=1, kind="stable")
        found[first : first + BLOCK, :most] = np.take_along_axis(near, order, 1)
    return found


def evidence_of_cells(evidence: Evidence, level: Level) -> Floats:
    """Mean evidence of each cell for each class, relative to the mean over all points and over all classes.

    Parameters
    ----------
    evidence : Evidence
    level : Level

    Returns
    -------
    numpy.ndarray (M, T)
    """
    starts = level.starts
    found = np.empty((len(level.counts), evidence.rows.shape[1]))
    most = max(1, NUMBERS // evidence.rows.shape[1])
    first = 0
    while first < len(found):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + most, side="right")) - 1)
        rows = evidence.rows[level.members[starts[first] : starts[last]]].astype(np.float64)
        found[first:last] = np.add.reduceat(rows, starts[first:last] - starts[first], axis=0)
        first = last
    found = found / level.counts[:, None] - evidence.base
    found -= found.mean(axis=1, keepdims=True)
    return found
