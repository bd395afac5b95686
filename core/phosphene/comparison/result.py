"""`Comparison`: what networks respond to, and how similar their layers are, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.result import FIGURES, Result
from phosphene.rendering.result import Renders
from phosphene.types import Floats
from phosphene.words import LABEL, aligned, plain_message

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison(Result):
    """A comparison of two or more networks: pictures of the same targets, similarity of layers, matched channels.

    Attributes
    ----------
    names : tuple of str
        One unique name per network.
    renders : tuple of Renders
        One per network, with the same rows; empty if nothing was rendered.
    rows : tuple of str
        Title of each row of pictures: the targets, then the matched channels. Titles may contain line breaks.
    similarity : mapping of (int, int) to (A, B)
        For each further network, the linear centred kernel alignment (CKA, Kornblith et al. 2019) of the first network's layers
        with its own: 1 for layers that differ by a rotation and a scale, about 0 for unrelated ones, NaN for a layer that is the
        same for all images.
    layers : tuple of tuple of str
        Layers of each network, in the order of `similarity`.
    matches : (M, 2) int
        Channels of the last of the first network's `layers` and of the second's, one to one, most correlated first.
    correlations : (M,)
        Their correlations over the images.
    images : int
        Number of images that the layers were compared on.
    settings : mapping
        Everything that is needed to make the comparison again. Plain JSON.

    Raises
    ------
    InvalidParameter
        For renders that are not one per network, or a similarity of networks that do not exist.
    """

    kind: ClassVar[str] = "comparison"
    endings: ClassVar[tuple[str, ...]] = (".npz", ".html", *FIGURES)

    names: tuple[str, ...]
    renders: tuple[Renders, ...] = field(default=(), repr=False)
    rows: tuple[str, ...] = ()
    similarity: Annotated[Mapping[tuple[int, int], Floats], "_ _"] = field(default_factory=dict)
    layers: tuple[tuple[str, ...], ...] = ()
    matches: Annotated[NDArray[np.int64], "M 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    correlations: Annotated[Floats, "M"] = field(default_factory=lambda: np.empty(0))
    images: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.renders and [len(one) for one in self.renders] != [len(self.rows)] * count:
            raise InvalidParameter(
                "renders",
                allowed=f"{count} results (one per network) of {len(self.rows)} pictures (one per row)",
                received=said(f"results of {', '.join(str(len(one)) for one in self.renders)} pictures"),
                fix="Render the same targets of each network.",
            )
        for pair, matrix in self.similarity.items():
            sizes = tuple(len(self.layers[index]) for index in pair if 0 <= index < min(len(self.layers), count))
            if sizes != np.shape(matrix):
                raise InvalidParameter(
                    "similarity",
                    allowed=f"a matrix of shape {sizes} for {pair}, one value per pair of layers",
                    received=said(f"shape {np.shape(matrix)}"),
                    fix="Give one row per layer of the first network and one column per layer of the second.",
                )

    def __len__(self) -> int:
        return len(self.names)

    def plot(self) -> Any:
        """Draw the pictures, one row per target and one column per network, beside the similarity of the layers."""
        from phosphene.comparison.figure import plot_comparison

        return plot_comparison(self)

    def _text(self, ending: str) -> str:
        from phosphene.comparison.page import comparison_page

        return comparison_page(self)

    def __repr__(self) -> str:
        lines = [f"Comparison of {', '.join(self.names[:-1])} and {self.names[-1]}"]
        if self.renders:
            shown = [row.replace("\n", ", ") for row in self.rows[:6]]
            more = f" and {len(self.rows) - 6} more" if len(self.rows) > 6 else ""
            lines.append(f"  pictures of {'; '.join(shown)}{more}")
        for (one, other), matrix in self.similarity.items():
            found = np.where(np.isnan(matrix), -np.inf, matrix)
            lines.append(
                f"  alignment of layers over {self.images:,} images, {self.names[one]} with {self.names[other]}:"
            )
            for row, path in enumerate(aligned(self.layers[one], LABEL)):
                best = int(found[row].argmax())
                nearest = f"nearest to {self.layers[other][best]} ({matrix[row, best]:.3f})"
                lines.append(f"    {path}  is {'the same for all images' if np.isnan(matrix[row]).all() else nearest}")
        if len(self.matches):
            (a, b), r = self.matches[0], self.correlations[0]
            lines.append(
                f"  {len(self.matches)} pairs of channels of {self.layers[0][-1]} and {self.layers[1][-1]}, median correlation "
                f"{float(np.median(self.correlations)):.2f}; the strongest {a} and {b} ({r:.3f})"
            )
        return plain_message("\n".join(lines))
