"""`units`: which channels of a layer are dead, always on or doubles, and what each is strongest for; one pass over the data."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import ImagesLike, Reading
from phosphene.arrays import filled
from phosphene.ascent import Progress
from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.collecting import batch_by_memory
from phosphene.data.sources import source_of
from phosphene.data.streaming import stream
from phosphene.draws import integer
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.feature_maps import on_grid
from phosphene.progress import reporter
from phosphene.receptive_field import receptive_field
from phosphene.rendering import describe
from phosphene.results import Units
from phosphene.types import Floats

__all__ = ["units"]


def units(
    network: Network,
    images: ImagesLike,
    layer: str,
    *,
    top: int = 9,
    twins: float = 0.95,
    batch: int | None = None,
    count: int | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Units:
    """Every channel of a layer, as a data set sees it.

    Parameters
    ----------
    network : Network
    images : array-like, path, sequence or iterable
        As of `phosphene.activations`.
    layer : str
        Path of a layer with or without positions.
    top : int, default 9
        Examples a channel.
    twins : float, default 0.95
        Least correlation of a pair of near-duplicates.
    batch : int, optional
        Images at a time; by the size of the activations when absent.
    count, executor, on_error, progress
        As of `phosphene.activations`.

    Returns
    -------
    Units

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that is not there, and for parameters outside what is allowed.
    InvalidImages
        For images of the wrong shape, dtype or range, or when none is left.
    """
    top = integer("top", top, minimum=1)
    if not 0 < twins <= 1:
        raise InvalidParameter(
            "twins", allowed="a correlation in (0, 1]", received=twins, fix="0.95 finds near-duplicates."
        )
    network.layers[layer]
    spec = network.input
    source = source_of(images, spec.size, spec.channels, count=count)
    batch = min(batch or batch_by_memory(network, [layer]), len(source))
    field = receptive_field(network, layer)
    running: Running | None = None
    start, seen = time.perf_counter(), 0
    with network.scope(), reporter(progress, "units", len(source)) as tell:
        weights = network.weights()
        for whole, good in stream(source, spec.size, spec.channels, batch, executor=executor, on_error=on_error):
            read = network.backend.run(Reading(network, (layer,)), weights, native(network, filled(whole, batch)))
            values = network.backend.to_numpy(read[layer])[: len(whole)][good]
            if network.layers[layer].spatial:
                values = on_grid(values, network.layers[layer])
            if running is None:
                running = Running.start(values.shape[-1], top, field, spec.channels)
            running.take(values, whole[good], seen + np.flatnonzero(good))
            seen += len(whole)
            if tell(Progress(seen, len(source), "images", time.perf_counter() - start)) is False:
                break
    if running is None or running.images == 0:
        raise InvalidImages("images", allowed="at least one image that can be read", received=said("none"), fix="")
    return running.finish(layer, twins, {**describe(network, 0, spec.size), "data": source.identity(), "layer": layer})


@dataclass
class Running:
    """Sums over what was seen so far; nothing in it grows with the number of images."""

    images: int
    positions: int
    above: Floats
    on: Floats
    total: Floats
    products: Floats
    largest: Floats
    top: NDArray[np.int64]
    values: Floats
    patches: NDArray[np.float32]

    @staticmethod
    def start(channels: int, top: int, field: tuple[int, int], colours: int) -> Running:
        """Nothing yet."""
        above, on, total = (np.zeros(channels) for _ in range(3))
        patches = np.full((channels, top, *field, colours), 0.5, np.float32)
        return Running(
            0, 0, above, on, total, np.zeros((channels, channels)), np.full(channels, -np.inf), np.full((channels, top), -1),
            np.full((channels, top), -np.inf), patches,
        )  # fmt: skip

    def take(self, values: NDArray[Any], images: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
        """One batch: activations ``(n, ..., C)``, its images, and their numbers."""
        if len(values) == 0:
            return
        rows = values.reshape(len(values), -1, values.shape[-1]).astype(np.float64)
        flat = rows.reshape(-1, rows.shape[-1])
        self.images += len(rows)
        self.positions += len(flat)
        self.above += (flat > 0).sum(axis=0)
        self.on += (rows > 0).any(axis=1).sum(axis=0)
        self.total += flat.sum(axis=0)
        self.products += flat.T @ flat
        self.largest = np.maximum(self.largest, flat.max(axis=0))
        peaks = rows.max(axis=1)
        # Only what enters the list of a channel is cut out of its image.
        threshold = self.values.min(axis=1)
        for row, channel in zip(*np.nonzero(peaks > threshold), strict=True):
            worst = int(self.values[channel].argmin())
            if peaks[row, channel] <= self.values[channel, worst]:
                continue
            place = np.unravel_index(int(rows[row, :, channel].argmax()), values.shape[1:-1] or (1,))
            self.values[channel, worst] = peaks[row, channel]
            self.top[channel, worst] = numbers[row]
            self.patches[channel, worst] = _cut(images[row], place, values.shape[1:-1], self.patches.shape[2:4])

    def finish(self, layer: str, twins: float, settings: dict[str, Any]) -> Units:
        """All that can be said."""
        mean = self.total / self.positions
        covariance = self.products / self.positions - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
        # A channel that is the same everywhere correlates with nothing; rounding must not say otherwise.
        moving = deviation > 1e-6 * np.maximum(np.abs(self.largest), 1e-12)
        scale = np.where(moving, deviation, np.inf)
        correlation = covariance / scale[:, None] / scale[None]
        pairs = np.argwhere(np.triu(correlation >= twins, k=1))
        found = sorted(
            ((int(a), int(b), float(min(correlation[a, b], 1.0))) for a, b in pairs), key=lambda pair: -pair[2]
        )
        order = np.argsort(-self.values, axis=1, kind="stable")
        return Units(
            layer=layer,
            images=self.images,
            density=self.above / self.positions,
            on=self.on / self.images,
            mean=mean,
            deviation=deviation,
            largest=self.largest,
            top=np.take_along_axis(self.top, order, axis=1),
            top_values=np.take_along_axis(self.values, order, axis=1),
            patches=np.take_along_axis(self.patches, order[:, :, None, None, None], axis=1),
            twins=tuple(found),
            settings=settings,
        )


def _cut(
    image: NDArray[np.float32], place: tuple[Any, ...], sides: tuple[int, ...], field: tuple[int, ...]
) -> NDArray[np.float32]:
    """The part of an image that a position sees; mid-grey where its field ends outside. All of it, without rows and columns."""
    if len(sides) != 2:
        return image[: field[0], : field[1]]
    result = np.full((*field, image.shape[-1]), 0.5, np.float32)
    corner = []
    for axis in range(2):
        middle = (int(place[axis]) + 0.5) * image.shape[axis] / sides[axis]
        corner.append(round(middle - field[axis] / 2))
    top, left = corner
    rows = slice(max(0, top), min(image.shape[0], top + field[0]))
    columns = slice(max(0, left), min(image.shape[1], left + field[1]))
    result[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[rows, columns]
    return result
