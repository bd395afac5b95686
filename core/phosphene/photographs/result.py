"""`Accentuation`: how a photograph would have to change for a unit to respond more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.result import FIGURES, Result
from phosphene.rendering.result import Renders
from phosphene.types import Floats
from phosphene.words import plain_message

__all__ = ["Accentuation"]


@dataclass(frozen=True)
class Accentuation(Result):
    """Pictures that were changed from a photograph, the most similar first.

    Attributes
    ----------
    photograph : (H, W, C) float32
    renders : Renders
        N pictures; their values are those of the objective alone.
    before : float
        The objective on the photograph.
    change : (N,)
        Euclidean distance of each picture from the photograph; pixels are in [0, 1].
    feature_change : (N,)
        Squared distance from the photograph in `layer`, relative to the squared norm of the photograph there.
    layer : str
        The layer in which the pictures were kept near the photograph.
    threshold : float, optional
        The value that the objective was to exceed.
    smallest : (H, W, C) float32, optional
        The nearest picture found that exceeds the threshold; None if there is no such picture or no threshold.
    smallest_change : float
        Its distance from the photograph; NaN without such a picture.
    """

    kind: ClassVar[str] = "accentuation"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)

    photograph: Annotated[NDArray[np.float32], "H W C"] = field(repr=False)
    renders: Renders = field(repr=False)
    before: float
    change: Annotated[Floats, "N"]
    feature_change: Annotated[Floats, "N"]
    layer: str
    threshold: float | None = None
    smallest: Annotated[NDArray[np.float32] | None, "H W C"] = field(default=None, repr=False)
    smallest_change: float = float("nan")

    def __post_init__(self) -> None:
        if not len(self.renders) == len(self.change) == len(self.feature_change):
            raise InvalidParameter(
                "change",
                allowed=f"{len(self.renders)} values (one per picture), and as many of feature_change",
                received=said(f"{len(self.change)} and {len(self.feature_change)}"),
                fix="Measure every picture.",
            )

    def plot(self) -> Any:
        """Draw the photograph, each picture, and its difference from the photograph."""
        from phosphene.photographs.figure import plot_accentuation

        return plot_accentuation(self)

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
        return plain_message("\n".join(lines))
