"""`Accentuation`: what a photograph would have to look like for a unit to fire more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.results.renders import Renders
from phosphene.types import Floats

__all__ = ["Accentuation"]


@dataclass(frozen=True)
class Accentuation:
    """Pictures that were changed from a photograph, most timid first.

    Attributes
    ----------
    photograph : (H, W, C) float32
    renders : Renders
        N pictures; their values are those of the objective alone.
    before : float
        The objective on the photograph.
    change : (N,)
        Euclidean distance of each picture from the photograph, in units of the range of 1.
    feature_change : (N,)
        Squared distance in `layer`, relative to the photograph's squared length there.
    layer : str
        In which the pictures were held near the photograph.
    threshold : float, optional
        That was to be crossed.
    smallest : (H, W, C) float32, optional
        The nearest picture found that crosses it; None where none does, or no threshold was given.
    smallest_change : float
        Its distance from the photograph; NaN where there is none.
    """

    photograph: NDArray[np.float32] = field(repr=False)
    renders: Renders = field(repr=False)
    before: float
    change: Floats
    feature_change: Floats
    layer: str
    threshold: float | None = None
    smallest: NDArray[np.float32] | None = field(default=None, repr=False)
    smallest_change: float = float("nan")

    def plot(self) -> Any:
        """Draw the photograph, each picture, and what was added to the photograph.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_accentuation

        return plot_accentuation(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``, whole or not at all.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_figure

        return save_figure(self.plot, path)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        lines = [f"Accentuation, held near the photograph in {self.layer}; the photograph's value {self.before:.4g}"]
        for row, label in enumerate(self.renders.labels):
            value = self.renders.values[row]
            lines.append(
                f"  {label}: {value:.4g}, changed by {self.change[row]:.3g}, features by {self.feature_change[row]:.2%}"
            )
        if self.threshold is not None:
            none = (
                "no picture crosses it"
                if self.smallest is None
                else f"the smallest change that crosses it {self.smallest_change:.3g}"
            )
            lines.append(f"  threshold {self.threshold:.4g}: {none}")
        return "\n".join(lines)
