"""`Units`: every channel of a layer, as a data set sees it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.types import Floats

__all__ = ["Units"]


@dataclass(frozen=True)
class Units:
    """Statistics of the C channels of a layer over N images.

    Attributes
    ----------
    layer : str
    images : int
        N.
    density : (C,)
        Share of positions at which a channel is above zero.
    on : (C,)
        Share of images in which it is above zero somewhere.
    mean, deviation, largest : (C,)
        Over all positions of all images.
    top : (C, K) int
        Numbers of the images in which a channel is strongest, each image once, strongest first; -1 where there are fewer.
    top_values : (C, K)
        The channel's largest value in these.
    patches : (C, K, h, w, channels) float32
        What the channel saw there: the image, cut to its receptive field.
    twins : tuple of (int, int, float)
        Pairs of channels whose correlation over all positions is at least that which was asked for, strongest first.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    layer: str
    images: int
    density: Floats
    on: Floats
    mean: Floats
    deviation: Floats
    largest: Floats
    top: NDArray[np.int64]
    top_values: Floats
    patches: NDArray[np.float32]
    twins: tuple[tuple[int, int, float], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dead(self) -> NDArray[np.int64]:
        """Channels that were never above zero."""
        return np.flatnonzero(self.on == 0)

    @property
    def always_on(self) -> NDArray[np.int64]:
        """Channels that were above zero at every position of every image."""
        return np.flatnonzero(self.density == 1)

    @property
    def dead_bound(self) -> float:
        """The share of images below which a dead channel fires, at 95% confidence: 3 / N (Hanley and Lippman-Hand 1983)."""
        return min(1.0, 3.0 / self.images)

    def table(self) -> str:
        """A row a channel, as CSV."""
        twins: dict[int, list[str]] = {}
        for one, other, _ in self.twins:
            twins.setdefault(one, []).append(str(other))
            twins.setdefault(other, []).append(str(one))
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["channel", "state", "density", "on", "mean", "deviation", "largest", "twins", "top images"])
        for channel in range(len(self.density)):
            state = "dead" if self.on[channel] == 0 else "always on" if self.density[channel] == 1 else "live"
            numbers = [self.density, self.on, self.mean, self.deviation, self.largest]
            top = " ".join(str(image) for image in self.top[channel] if image >= 0)
            figures = [f"{column[channel]:.6g}" for column in numbers]
            writer.writerow([channel, state, *figures, " ".join(twins.get(channel, [])), top])
        return stream.getvalue()

    def plot(self, *, channels: int = 8) -> Any:
        """Draw how dense and how strong the channels are, and what the strongest of some of them saw.

        Parameters
        ----------
        channels : int, default 8
            How many channels are shown with their patches, from the densest to the sparsest that is not dead.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_units

        return plot_units(self, channels=channels)

    def save(self, path: str | Path) -> Path:
        """Write the table to a ``.csv``, the figure to a ``.png``, ``.svg`` or ``.pdf``, or everything to an ``.html`` page.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_units

        return save_units(self, path)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        count = len(self.density)
        lines = [f"Units of {self.layer}: {count} channels over {self.images:,} images"]
        dead = ", ".join(map(str, self.dead[:12])) + (", ..." if len(self.dead) > 12 else "")
        bound = f" (each fires in fewer than {self.dead_bound:.2%} of such images, at 95% confidence)"
        lines.append(f"  dead: {len(self.dead)}" + (f": {dead}{bound}" if len(self.dead) else ""))
        lines.append(f"  always on: {len(self.always_on)}")
        lines.append(f"  median density {np.median(self.density):.3f}; largest activation {self.largest.max():.4g}")
        pairs = ", ".join(f"{one} and {other} ({r:.3f})" for one, other, r in self.twins[:5])
        lines.append(f"  near-duplicates: {len(self.twins)} pairs" + (f": {pairs}" if pairs else ""))
        return "\n".join(lines)
