"""`Embedding`: a layer's activations as points in a plane or in space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.types import Floats

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding:
    """Points, and how far to trust their neighbourhoods.

    Attributes
    ----------
    points : (N, 2) or (N, 3) float32
    method : str
        "pca", "tsne" or "umap".
    source : str
        The paper it is from.
    layer : str
    trustworthiness : float
        In [0, 1]: how far the neighbours of a point in the picture are its neighbours in the layer (Venna and Kaski 2001); 1 is
        all of them.
    neighbours : int
        How many neighbours that is about.
    variance : (2,) or (3,), or empty
        Share of the variance along each axis, for "pca".
    thumbnails : (N, h, w, C) float32, or empty
        Small images, where they were asked for.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    points: NDArray[np.float32]
    method: str
    source: str
    layer: str
    trustworthiness: float
    neighbours: int
    variance: Floats
    thumbnails: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points)

    def plot(
        self, labels: ArrayLike | None = None, *, names: Sequence[str] | None = None, thumbnails: bool = False
    ) -> Any:
        """Draw the points.

        Parameters
        ----------
        labels : array-like (N,), optional
            Colours them: integers or names are classes, floats a scale.
        names : sequence of str, optional
            Of the classes, where labels are integers.
        thumbnails : bool, default False
            Small images instead of points, as many as do not overlap; needs ``thumbnails=True`` when it was made.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InvalidParameter
            For labels that are not one a point, or thumbnails that are not there.
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_embedding

        return plot_embedding(self, labels, names=names, thumbnails=thumbnails)

    def save(self, path: str | Path, labels: ArrayLike | None = None, **options: Any) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``, or the points to a ``.npz``; options as of `plot`.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_embedding

        return save_embedding(self, path, labels, **options)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        count, axes = self.points.shape
        return (
            f"Embedding of {self.layer} by {self.method}: {count:,} points in {axes} dimensions, trustworthiness "
            f"{self.trustworthiness:.3f} (of {self.neighbours} neighbours)"
        )
