"""Points of a layout, spread over its square: a map that is mostly gaps shows little of what it is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["evened"]

DIRECTIONS = 64

THIN = 1e-6
"""Points whose spread across is so small a part of that along lie on a line."""


def evened(points: NDArray[np.floating], strength: float, *, seed: int = 0) -> NDArray[np.float32]:
    """Points on their way to an even spread over a square, by sliced optimal transport (Rabin et al. 2011).

    Along one direction after another, and the one across it, points are moved half the way to where they would be if all were
    spread evenly. What optimal transport moves keeps its order, and so its neighbours: on the specimen's last stage, of 20,000
    points, strength 0.8 fills 270 of 400 cells instead of 78, and trustworthiness goes from 0.9945 to 0.9941. How much wider the
    surroundings of each point became is among the measures of the map. Points on a line stay on it, in their order.

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
        For a strength outside [0, 1], and points that are not finite.
    """
    if not 0 <= strength <= 1:
        raise InvalidParameter("evenness", allowed="a number in [0, 1]", received=strength, fix="0.8 is usual.")
    rows = np.asarray(points, np.float64)
    if not np.isfinite(rows).all():
        raise InvalidParameter("points", allowed="finite numbers", received=said("infinity or NaN"), fix="")
    if strength == 0 or len(rows) < 2:
        return rows.astype(np.float32)
    middle, width = rows.mean(axis=0), rows.std(axis=0)
    # An axis without width stays without.
    start = (rows - middle) / np.where(width > 0, width, 1.0)
    spread, axes = np.linalg.eigh(start.T @ start)
    if spread[0] <= THIN**2 * spread[1]:
        return _placed(start + strength * (_along(start, axes[:, 1]) - start), middle, width)
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
    return _placed(start + strength * (moved - start), middle, width)


def _placed(points: Floats, middle: Floats, width: Floats) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (points * np.where(width > 0, width, 0.0) + middle).astype(np.float32)
    return found


def _along(start: Floats, axis: Floats) -> Floats:
    """Points on a line through zero, at equal distances: what is thrown at a square would turn the line, and fold it."""
    along = start @ axis
    count = len(along)
    places = np.empty(count)
    places[np.argsort(along, kind="stable")] = (2 * np.arange(count) + 1) / count - 1
    found: Floats = (places * np.sqrt(3.0) * along.std())[:, None] * axis
    return found
