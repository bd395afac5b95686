"""Procrustes analysis: align one map with another by a similarity transform, and measure the remaining difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["Similarity", "disparity", "fit_similarity"]


@dataclass(frozen=True)
class Similarity:
    """``x -> scale * x @ rotation + shift``.

    Attributes
    ----------
    scale : float
        Positive.
    rotation : (D, D)
        Orthogonal; a determinant of -1 includes a reflection.
    shift : (D,)
    """

    scale: float
    rotation: Floats
    shift: Floats

    def __call__(self, points: NDArray[np.floating]) -> Floats:
        """Apply the transform to points ``(N, D)``."""
        found: Floats = self.scale * (np.asarray(points, np.float64) @ self.rotation) + self.shift
        return found


def fit_similarity(points: NDArray[np.floating], target: NDArray[np.floating]) -> Similarity:
    """Fit the similarity that maps `points` to `target` with the least squared error (Schönemann 1966; Gower 1975).

    Parameters
    ----------
    points, target : (N, D)
        The same points on two maps, row by row.

    Returns
    -------
    Similarity

    Raises
    ------
    InvalidParameter
        For different shapes, fewer than two points, and points that all coincide.
    """
    (source, middle, size), (wanted, other_middle, other_size) = _centred(points, target)
    left, singular, right = np.linalg.svd(source.T @ wanted)
    scale = float(singular.sum()) * other_size / size
    rotation = left @ right
    return Similarity(scale, rotation, other_middle - scale * middle @ rotation)


def disparity(points: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Procrustes disparity of two maps: 0 if they are equal up to a similarity transform, 1 if they have nothing in common.

    One minus the squared sum of the singular values of the product of both maps, each centred and scaled to unit norm (Gower
    1975). It is symmetric.

    Parameters
    ----------
    points, target : (N, D)

    Returns
    -------
    float
        In [0, 1].
    """
    (source, _, _), (wanted, _, _) = _centred(points, target)
    return float(max(0.0, 1.0 - np.linalg.svd(source.T @ wanted, compute_uv=False).sum() ** 2))


def _centred(
    points: NDArray[np.floating], target: NDArray[np.floating]
) -> tuple[tuple[Floats, Floats, float], tuple[Floats, Floats, float]]:
    if np.shape(points) != np.shape(target) or np.ndim(points) != 2 or len(points) < 2:
        raise InvalidParameter(
            "points",
            allowed="two maps of the same points, (N, D) with N at least 2",
            received=said(f"shapes {np.shape(points)} and {np.shape(target)}"),
            fix="Select the points that both maps have, in the same order.",
        )
    return _one(points), _one(target)


def _one(points: NDArray[np.floating]) -> tuple[Floats, Floats, float]:
    """Points centred and scaled to unit norm, the centre, and the norm."""
    rows = np.asarray(points, np.float64)
    middle = rows.mean(axis=0)
    size = float(np.linalg.norm(rows - middle))
    if not size > 0:
        raise InvalidParameter(
            "points",
            allowed="points that do not all coincide",
            received=said("points that are all equal"),
            fix="Lay the points out again, with another seed or method.",
        )
    return (rows - middle) / size, middle, size
