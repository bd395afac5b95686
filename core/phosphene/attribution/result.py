"""`Attribution`: which parts of an image a target depends on, according to one method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.arguments import optional_integer
from phosphene.kit.checks import MOST_COLUMNS, boolean
from phosphene.kit.result import FIGURES, Result
from phosphene.types import Floats
from phosphene.words import LABEL, aligned, plain_message

__all__ = ["PERCENTILE", "Attribution"]

PERCENTILE = 99.5
"""Percentile of the absolute values of a map with a value per pixel that becomes 1."""


@dataclass(frozen=True)
class Attribution(Result):
    """Attribution maps of images, with the raw values that they were made of.

    Attributes
    ----------
    images : (N, H, W, C) float32
        The images that were explained, in [0, 1].
    raw : (N, h, w), (N, H, W, C), (N, T) or (N, D, h, w)
        What the method computed, signed: at the positions of the layer for class activation maps (rows and columns; a sequence;
        depth, rows and columns), at the windows for occlusion, and one value per pixel and channel for gradients.
    maps : (N, H, W) float32
        At the size of the images, each scaled on its own: to [0, 1], or to [-1, 1] if `signed`. Class activation maps and
        occlusion are divided by their largest absolute value. Maps with a value per pixel are divided by the 99.5th percentile
        of their absolute values (of those that are not zero) and clipped, since the single largest pixel would leave the others
        near zero. The values of a sequence are laid on the pixels that each position depends on, which is measured; a volume is
        summed over its depth. NaN where `raw` is not finite.
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
        Further measures: "completeness" of integrated gradients, areas under curves.
    curves : mapping of str to (K, N)
        "deletion" and "insertion": the target as pixels are removed or added, most important first.
    sanity : mapping of str to (N,)
        For each module, the rank correlation of the map with that of a copy whose weights are randomized from the top down to
        that module.
    coverage : str
        What a backward rule reached and what it did not; empty for methods without one.
    settings : mapping
        Everything that is needed to make the maps again. Plain JSON.
    """

    kind: ClassVar[str] = "attribution"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)

    images: Annotated[NDArray[np.float32], "N H W C"]
    raw: Annotated[NDArray[np.floating[Any]], "N _ ..."]
    maps: Annotated[NDArray[np.float32], "N H W"]
    values: Annotated[Floats, "N"]
    labels: Annotated[tuple[str, ...], "N"]
    method: str
    source: str
    signed: bool
    layer: str | None = None
    scores: Annotated[Mapping[str, Floats], "N"] = field(default_factory=dict)
    curves: Annotated[Mapping[str, Floats], "_ N"] = field(default_factory=dict)
    sanity: Annotated[Mapping[str, Floats], "N"] = field(default_factory=dict)
    coverage: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def title(self) -> str:
        """The method in words; if its backward rule reached nothing, what the maps are instead."""
        words = self.method.replace("_", " ")
        if not self.coverage.partition(": ")[2].startswith("0 of "):
            return words
        return f"{words} = {'gradcam x ' if self.layer else ''}gradient (no ReLU reached)"

    def plot(self, *, overlay: bool = True, columns: int | None = None) -> Any:
        """Draw each image beside its map.

        Parameters
        ----------
        overlay : bool, default True
            Whether to draw the map over the image in grey, or alone.
        columns : int, optional
            Pairs per row (default: a near-square grid).
        """
        from phosphene.attribution.figure import plot_attribution

        overlay, columns = (
            boolean("overlay", overlay),
            optional_integer("columns", columns, minimum=1, maximum=MOST_COLUMNS),
        )
        return plot_attribution(self, overlay=overlay, columns=columns)

    def __repr__(self) -> str:
        count, height, width = self.maps.shape
        head = f"Attribution of {count} image{'s' * (count != 1)}, {height} x {width}, by {self.title}"
        lines = [head + (f" at {self.layer}" if self.layer else "")]
        for row, label in enumerate(aligned(self.labels[:12], LABEL)):
            extra = "".join(f"  {name} {score[row]:.3g}" for name, score in self.scores.items())
            lines.append(f"  {label}  {self.values[row]:>10.4g}{extra}")
        if count > 12:
            lines.append(f"  ... and {count - 12} more")
        return plain_message("\n".join([*lines, *([f"  {self.coverage}"] if self.coverage else [])]))
