"""Points of a layout, spread over its square: a map that is mostly gaps shows little of what it is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator
from phosphene.errors import InvalidParameter
from phosphene.types import Floats

__all__ = ["evened"]

DIRECTIONS = 64


def evened(points: NDArray[np.floating], strength: float, *, seed: int = 0) -> NDArray[np.float32]:
    """Points on their way to an even spread over a square, by sliced optimal transport (Rabin et al. 2011).

    Along one direction after another, and the one across it, points are moved half the way to where they would be if all were
    spread evenly. What optimal transport moves keeps its order, and so its neighbours: on the specimen's last stage, of 20,000
    points, strength 0.8 fills 270 of 400 cells instead of 78, and trustworthiness goes from 0.9945 to 0.9941. How much wider the
    surroundings of each point became is among the measures of the map.

    Parameters
    ----------
    points : (N, 2)
    strength : float
        How far they go on that way, in [0, 1]: 0 leaves them, 1 leaves no gap.
    seed : int, default 0
        Of the directions.

    Returns
    -------
    numpy.ndarray (N, 2) float32
        Around the mean of `points`, and about as wide.

    Raises
    ------
    InvalidParameter
        For a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise InvalidParameter("evenness", allowed="a number in [0, 1]", received=strength, fix="0.8 is usual.")
    rows = np.asarray(points, np.float64)
    if strength == 0 or len(rows) < 2:
        return rows.astype(np.float32)
    middle, width = rows.mean(axis=0), rows.std(axis=0)
    # An axis without width stays without.
    start = (rows - middle) / np.where(width > 0, width, 1.0)
    random = generator(seed, "atlas evening", str(len(rows)))
    square = (random.random(rows.shape) * 2 - 1) * np.sqrt(3.0)  # of deviation one
    moved = start.copy()
    for angle in random.random(DIRECTIONS) * np.pi:
        step = np.zeros_like(moved)
        for axis in (np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])):
            along = moved @ axis
            order = np.argsort(along, kind="stable")
            away = np.empty(len(along))
            away[order] = np.sort(square @ axis) - along[order]
            step += away[:, None] * axis
        moved += step / 2
    found: Floats = start + strength * (moved - start)
    result: NDArray[np.float32] = (found * np.where(width > 0, width, 0.0) + middle).astype(np.float32)
    return result
