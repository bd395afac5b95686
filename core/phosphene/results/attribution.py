"""`Attribution`: which parts of an image a target rests on, as one method sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Floats

__all__ = ["Attribution"]


@dataclass(frozen=True)
class Attribution:
    """Maps of images, and the raw values that they were made of.

    Attributes
    ----------
    images : (N, H, W, C) float32
        What was explained, in [0, 1].
    raw : (N, h, w) or (N, H, W, C)
        What the method computed, signed: at the layer's own resolution for class activation maps, at that of the windows for
        occlusion, a value each pixel and channel for gradients.
    maps : (N, H, W) float32
        At the image's size, each image on its own scale: in [0, 1], or in [-1, 1] where `signed`.
    values : (N,)
        The target on each image.
    labels : tuple of str
        The target of each image.
    method : str
        Its name.
    source : str
        The paper it is from.
    signed : bool
        Whether `maps` have a sign.
    layer : str or None
        The layer, for methods that have one.
    scores : mapping of str to (N,)
        Further measures: "completeness" of integrated gradients, areas of curves.
    curves : mapping of str to (K, N)
        "deletion" and "insertion": the target as pixels are taken away or given, most important first.
    sanity : mapping of str to (N,)
        Module to rank correlation of the map with that of a copy whose weights are random from the top down to that module.
    coverage : str
        What a backward rule reached and what not; empty for methods without one.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    images: NDArray[np.float32]
    raw: NDArray[np.floating[Any]]
    maps: NDArray[np.float32]
    values: Floats
    labels: tuple[str, ...]
    method: str
    source: str
    signed: bool
    layer: str | None = None
    scores: Mapping[str, Floats] = field(default_factory=dict)
    curves: Mapping[str, Floats] = field(default_factory=dict)
    sanity: Mapping[str, Floats] = field(default_factory=dict)
    coverage: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def plot(self, *, overlay: bool = True, columns: int | None = None) -> Any:
        """Draw each image beside its map.

        Parameters
        ----------
        overlay : bool, default True
            Whether the map lies over the image in grey, or stands alone.
        columns : int, optional
            Pairs a row; about a square when absent.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_attribution

        return plot_attribution(self, overlay=overlay, columns=columns)

    def save(self, path: str | Path) -> Path:
        """Write to a ``.npz`` (everything, exactly), or as a figure to ``.png``, ``.svg`` or ``.pdf``.

        Parameters
        ----------
        path : str or Path
            Written whole or not at all.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_attribution

        return save_attribution(self, path)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        count, height, width = self.maps.shape
        head = f"Attribution of {count} image{'s' * (count != 1)}, {height} x {width}, by {self.method}"
        lines = [head + (f" at {self.layer}" if self.layer else "")]
        width_of = max((len(label) for label in self.labels), default=0)
        for row, label in enumerate(self.labels[:12]):
            extra = "".join(f"  {name} {score[row]:.3g}" for name, score in self.scores.items())
            lines.append(f"  {label:<{width_of}}  {self.values[row]:>10.4g}{extra}")
        if count > 12:
            lines.append(f"  ... and {count - 12} more")
        return "\n".join([*lines, *([f"  {self.coverage}"] if self.coverage else [])])
