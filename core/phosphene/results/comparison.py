"""`Comparison`: what networks want to see, and how alike their layers are, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.results.renders import Renders
from phosphene.types import Floats

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """Two or more networks: pictures of the same targets, alignment of layers, channels that answer alike.

    Attributes
    ----------
    names : tuple of str
        One a network, all different.
    renders : tuple of Renders
        One a network, with the same rows; ``()`` where nothing was rendered.
    rows : tuple of str
        What each row of pictures is of: targets first, then matched channels. Lines of a title are parted by a newline.
    similarity : mapping of (int, int) to (A, B)
        For each further network, the linear centred kernel alignment (CKA) of the first one's layers with its own: 1 for layers
        that differ by a rotation and a scale, about 0 for unrelated ones, NaN for one that is the same for all images.
    layers : tuple of tuple of str
        Layers of each network, in the order of `similarity`.
    matches : (M, 2) int
        Channels of the first network's last layer among `layers` and of the second's, one to one, strongest first.
    correlations : (M,)
        Of those pairs, over images.
    images : int
        How many images the layers were compared on.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    names: tuple[str, ...]
    renders: tuple[Renders, ...] = field(default=(), repr=False)
    rows: tuple[str, ...] = ()
    similarity: Mapping[tuple[int, int], Floats] = field(default_factory=dict)
    layers: tuple[tuple[str, ...], ...] = ()
    matches: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    correlations: Floats = field(default_factory=lambda: np.empty(0))
    images: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def plot(self) -> Any:
        """Draw the pictures, a row a target and a column a network, and beside them the alignment of layers.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots.comparison import plot_comparison

        return plot_comparison(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``, or one offline page to a ``.html``; whole or not at all.

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
        from phosphene.files import check_writable, save_figure, write_whole

        if Path(path).suffix != ".html":
            return save_figure(self.plot, path)
        from phosphene.pages.comparison import comparison_page

        target = check_writable(path)
        write_whole(target, comparison_page(self).encode())
        return target

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

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
            width = max(len(path) for path in self.layers[one])
            for row, path in enumerate(self.layers[one]):
                best = int(found[row].argmax())
                nearest = f"nearest to {self.layers[other][best]} ({matrix[row, best]:.3f})"
                lines.append(
                    f"    {path:<{width}}  is {'the same for all images' if np.isnan(matrix[row]).all() else nearest}"
                )
        if len(self.matches):
            (a, b), r = self.matches[0], self.correlations[0]
            lines.append(
                f"  {len(self.matches)} pairs of channels of {self.layers[0][-1]} and {self.layers[1][-1]}, median correlation "
                f"{float(np.median(self.correlations)):.2f}; the strongest {a} and {b} ({r:.3f})"
            )
        return "\n".join(lines)
