"""`Units`: statistics of every channel of a layer over a data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.checks import integer
from phosphene.kit.result import FIGURES, Result
from phosphene.types import Floats
from phosphene.words import plain_message

__all__ = ["NO_FLOOR", "Units"]

NO_FLOOR = "not applicable: this layer has no floor at zero"
"""What figures, pages and tables say of dead, always-on and dense channels where zero is a value like any other."""


@dataclass(frozen=True)
class Units(Result):
    """Statistics of the C channels of a layer over N images.

    Attributes
    ----------
    layer : str
    images : int
        The number of images, N.
    density : (C,)
        Share of positions at which a channel is above zero.
    on : (C,)
        Share of images in which it is above zero at some position.
    mean, deviation, largest : (C,)
        Mean, standard deviation and maximum over all positions of all images. Values that are NaN or infinite are left out of
        all statistics; a channel that has no others has NaN.
    top : (C, K) int
        Indices of the images that activate a channel most, in descending order; -1 if there are fewer than K. Unless asked for,
        the border of the map, where the activation depends on padding, does not count.
    top_values : (C, K)
        The channel's maximum in these images.
    patches : (C, K, h, w, channels) float32
        These images, cut to the receptive field of the position of the maximum; at most 64 pixels a side, at a smaller scale
        if the receptive field is larger.
    twins : tuple of (int, int, float)
        Pairs of channels whose correlation over all positions reaches the threshold that was asked for, in descending order.
    settings : mapping
        Everything that is needed to make the statistics again. Plain JSON.
    floor : bool, default True
        Whether the layer has a floor at zero, as behind a rectifier: of all values of all channels none is below zero, and some
        are zero. Only then is a channel dead, always on, or dense.
    names : tuple of str, default ()
        Class names of the channels, for the output of a classifier.
    """

    kind: ClassVar[str] = "units"
    endings: ClassVar[tuple[str, ...]] = (".npz", ".csv", ".html", *FIGURES)
    added: ClassVar[tuple[str, ...]] = ("floor", "names")

    layer: str
    images: int
    density: Annotated[Floats, "C"]
    on: Annotated[Floats, "C"]
    mean: Annotated[Floats, "C"]
    deviation: Annotated[Floats, "C"]
    largest: Annotated[Floats, "C"]
    top: Annotated[NDArray[np.int64], "C K"]
    top_values: Annotated[Floats, "C K"]
    patches: Annotated[NDArray[np.float32], "C K h w channels"]
    twins: tuple[tuple[int, int, float], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    floor: bool = True
    names: tuple[str, ...] = ()

    @property
    def dead(self) -> NDArray[np.int64]:
        """Channels that were never above zero; none in a layer without a floor at zero."""
        return np.flatnonzero((self.on == 0) & self.floor)

    @property
    def always_on(self) -> NDArray[np.int64]:
        """Channels that were above zero at every position of every image; none in a layer without a floor at zero."""
        return np.flatnonzero((self.density == 1) & self.floor)

    @property
    def unknown(self) -> NDArray[np.int64]:
        """Channels of which every value was NaN or infinite."""
        return np.flatnonzero(~np.isfinite(self.largest))

    def name(self, channel: int) -> str:
        """``channel 5``, or ``channel 5 (coins)`` where channels are classes."""
        channel = integer("channel", channel, maximum=len(self.density) - 1)
        return f"channel {channel}" + (f" ({self.names[channel]})" if self.names else "")

    def state(self, channel: int) -> str:
        """Whether a channel is "dead", "always on", "live" or "not finite"; "no floor" where that is not applicable."""
        channel = integer("channel", channel, maximum=len(self.density) - 1)
        if not np.isfinite(self.largest[channel]):
            return "not finite"
        if not self.floor:
            return "no floor"
        return "dead" if self.on[channel] == 0 else "always on" if self.density[channel] == 1 else "live"

    @property
    def dead_bound(self) -> float:
        """Upper limit, at 95% confidence, of the share of images that activate a dead channel.

        It is 3 / N (Hanley and Lippman-Hand 1983).
        """
        return min(1.0, 3.0 / self.images)

    def table(self) -> str:
        """CSV with one row per channel."""
        twins: dict[int, list[str]] = {}
        for one, other, _ in self.twins:
            twins.setdefault(one, []).append(str(other))
            twins.setdefault(other, []).append(str(one))
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        head = ["channel", "state", "density", "on", "mean", "deviation", "largest", "twins", "top images"]
        writer.writerow([*head, *(["class"] if self.names else [])])
        for channel in range(len(self.density)):
            numbers = [self.density, self.on, self.mean, self.deviation, self.largest]
            top = " ".join(str(image) for image in self.top[channel] if image >= 0)
            figures = [f"{column[channel]:.6g}" for column in numbers]
            if not self.floor:
                figures[:2] = ["", ""]
            named = [self.names[channel]] if self.names else []
            writer.writerow([channel, self.state(channel), *figures, " ".join(twins.get(channel, [])), top, *named])
        return stream.getvalue()

    def plot(self, *, channels: int = 8) -> Any:
        """Draw the density and strength of the channels, and the patches that activate some of them most.

        Parameters
        ----------
        channels : int, default 8
            Channels to show with their patches, from the densest to the sparsest that is not dead; in a layer without a floor
            at zero, from the largest to the smallest maximum.
        """
        from phosphene.unit_statistics.figure import plot_units

        channels = integer("channels", channels)
        return plot_units(self, channels=channels)

    def _text(self, ending: str) -> str:
        if ending == ".csv":
            return self.table()
        from phosphene.unit_statistics.page import units_page

        return units_page(self)

    def __repr__(self) -> str:
        count = len(self.density)
        lines = [f"Units of {self.layer}: {count} channels over {self.images:,} images"]
        known = self.largest[np.isfinite(self.largest)]
        if self.floor:
            dead = ", ".join(map(str, self.dead[:12])) + (", ..." if len(self.dead) > 12 else "")
            bound = f" (each fires in fewer than {self.dead_bound:.2%} of such images, at 95% confidence)"
            lines.append(f"  dead: {len(self.dead)}" + (f": {dead}{bound}" if len(self.dead) else ""))
            lines.append(f"  always on: {len(self.always_on)}")
        else:
            lines.append(f"  dead, always on, density: {NO_FLOOR}")
        if len(known):
            density = f"median density {np.nanmedian(self.density):.3f}; " if self.floor else ""
            best = int(np.nanargmax(self.largest))
            lines.append(
                f"  {density}largest activation {known.max():.4g}" + (f", {self.name(best)}" if self.names else "")
            )
        if len(self.unknown):
            some = ", ".join(map(str, self.unknown[:12])) + (", ..." if len(self.unknown) > 12 else "")
            lines.append(f"  not finite: {len(self.unknown)}: {some}")
        pairs = ", ".join(f"{one} and {other} ({r:.3f})" for one, other, r in self.twins[:5])
        lines.append(f"  near-duplicates: {len(self.twins)} pairs" + (f": {pairs}" if pairs else ""))
        return plain_message("\n".join(lines))
