"""One map laid over another: moved, turned, mirrored and scaled, and what then still differs."""

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
        Orthogonal; it mirrors where its determinant is -1.
    shift : (D,)
    """

    scale: float
    rotation: Floats
    shift: Floats

    def __call__(self, points: NDArray[np.floating]) -> Floats:
        """Points ``(N, D)``, moved."""
        found: Floats = self.scale * (np.asarray(points, np.float64) @ self.rotation) + self.shift
        return found


def fit_similarity(points: NDArray[np.floating], target: NDArray[np.floating]) -> Similarity:
    """The similarity that brings `points` nearest to `target`, row by row, in squares (Schönemann 1966; Gower 1975).

    Parameters
    ----------
    points, target : (N, D)
        Rows are the same points on two maps.

    Returns
    -------
    Similarity

    Raises
    ------
    InvalidParameter
        For shapes that differ, fewer than two points, and points that all lie in one place.
    """
    (source, middle, size), (wanted, other_middle, other_size) = _centred(points, target)
    left, singular, right = np.linalg.svd(source.T @ wanted)
    scale = float(singular.sum()) * other_size / size
    rotation = left @ right
    return Similarity(scale, rotation, other_middle - scale * middle @ rotation)


def disparity(points: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """What is left between two maps after the best similarity, as a part of their size: 0 is the same map, 1 has nothing in common.

    It is one minus the square of the sum of the singular values of both maps' product, each centred and scaled to length one
    (Gower 1975), and the same in both directions.

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
            "points", allowed="two maps of the same points, (N, D) with N at least 2",
            received=said(f"shapes {np.shape(points)} and {np.shape(target)}"), fix="Choose the rows that both have.",
        )  # fmt: skip
    return _one(points), _one(target)


def _one(points: NDArray[np.floating]) -> tuple[Floats, Floats, float]:
    """Centred and of length one, the centre, and the length."""
    rows = np.asarray(points, np.float64)
    middle = rows.mean(axis=0)
    size = float(np.linalg.norm(rows - middle))
    if not size > 0:
        raise InvalidParameter(
            "points", allowed="points in more than one place", received=said("points that all lie in one"), fix=""
        )
    return (rows - middle) / size, middle, size
