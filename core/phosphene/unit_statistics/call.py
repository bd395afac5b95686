"""`units`: dead, always-on and near-duplicate channels of a layer, and the images that activate each most, in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.channel_maps.call import on_grid
from phosphene.data.sources import source_of
from phosphene.data.streams import stream
from phosphene.errors import InvalidImages, said
from phosphene.extraction.call import ImagesLike, Reading
from phosphene.kit.checks import integer, share
from phosphene.kit.memory import batch_by_memory
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.provenance import describe
from phosphene.receptive_field import receptive_field
from phosphene.types import Floats
from phosphene.unit_statistics.result import Units

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
    """Compute statistics of every channel of a layer over a data set.

    Parameters
    ----------
    network : Network
    images : array-like, path, sequence or iterable
        As in `phosphene.activations`.
    layer : str
        Path of a layer, with or without positions.
    top : int, default 9
        Number of images to keep per channel: those that activate it most.
    twins : float, default 0.95
        Smallest correlation of a pair of near-duplicate channels, in (0, 1].
    batch : int, optional
        Batch size (default: by the size of the activations).
    count, executor, on_error, progress
        As in `phosphene.activations`.

    Returns
    -------
    Units

    Raises
    ------
    UnknownLayer
        For a path that is not a layer of the network.
    InvalidParameter
        For a parameter outside its range.
    InvalidImages
        For images of the wrong shape, dtype or range, or when no image can be read.
    """
    top, twins = integer("top", top, minimum=1), share("twins", twins, zero=False, example=0.95)
    network.layers[layer]
    spec = network.input
    source = source_of(images, spec.size, spec.channels, count=count)
    batch = min(batch or batch_by_memory(network, [layer]), len(source))
    field = receptive_field(network, layer)
    running: RunningStatistics | None = None
    start, seen = time.perf_counter(), 0
    with network.scope(), reporter(progress, "units", len(source)) as tell:
        weights = network.weights()
        for whole, good in stream(source, spec.size, spec.channels, batch, executor=executor, on_error=on_error):
            read = network.backend.run(Reading(network, (layer,)), weights, native(network, filled(whole, batch)))
            values = network.backend.to_numpy(read[layer])[: len(whole)][good]
            if network.layers[layer].spatial:
                values = on_grid(values, network.layers[layer])
            if running is None:
                running = RunningStatistics.empty(values.shape[-1], top, field, spec.channels)
            running.update(values, whole[good], seen + np.flatnonzero(good))
            seen += len(whole)
            if tell(Progress(seen, len(source), "images", time.perf_counter() - start)) is False:
                break
    if running is None or running.images == 0:
        raise InvalidImages(
            "images",
            allowed="at least one image that can be read",
            received=said("none"),
            fix="Give at least one image; the log names the files that were skipped.",
        )
    return running.finish(layer, twins, {**describe(network, 0, spec.size), "data": source.identity(), "layer": layer})


@dataclass
class RunningStatistics:
    """Sums over the images read so far, whose size does not depend on the number of images."""

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
    def empty(channels: int, top: int, field: tuple[int, int], colours: int) -> RunningStatistics:
        """Statistics of no images."""
        above, on, total = (np.zeros(channels) for _ in range(3))
        patches = np.full((channels, top, *field, colours), 0.5, np.float32)
        return RunningStatistics(
            0,
            0,
            above,
            on,
            total,
            np.zeros((channels, channels)),
            np.full(channels, -np.inf),
            np.full((channels, top), -1),
            np.full((channels, top), -np.inf),
            patches,
        )

    def update(self, values: NDArray[Any], images: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
        """Add a batch: activations ``(n, ..., C)``, its images, and their indices in the data set."""
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
        # A patch is cut only from images that enter the top list of a channel.
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
        """Compute the statistics."""
        mean = self.total / self.positions
        covariance = self.products / self.positions - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
        # A constant channel correlates with nothing, but rounding could make it seem so.
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
    """Cut out the receptive field of a position, mid-grey outside the image; the whole image for a layer without positions."""
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
