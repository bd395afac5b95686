"""`units`: dead, always-on and near-duplicate channels of a layer, and the images that activate each most, in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.channel_maps.call import on_grid
from phosphene.data.declaration import ImagesLike
from phosphene.data.digests import Digests, digest_of_all
from phosphene.data.sources import source_of
from phosphene.data.streams import check_on_error, stream
from phosphene.errors import InvalidImages, said
from phosphene.extraction.call import Reading
from phosphene.kit.arguments import an_executor, capped, optional_integer
from phosphene.kit.checks import a_network, boolean, share
from phosphene.kit.finite import NotFinite
from phosphene.kit.maps import upsample
from phosphene.kit.memory import batch_by_memory
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.provenance import describe
from phosphene.layers import OUTPUT
from phosphene.receptive_field import Fields, receptive_fields
from phosphene.types import Floats, Size
from phosphene.unit_statistics.result import Units

__all__ = ["units"]

LARGEST_SIDE, SMALLEST_SIDE = 64, 16
"""Pixels of a patch along its longer side, at most and at least: larger receptive fields are shown at a smaller scale."""

MOST_TOP = 1000
"""Largest number of images that are kept per channel."""

PATCH_BYTES = 1 << 28
"""Memory for the patches of all channels, by which their side is reduced for very many of them."""

ROUNDING = 1e-6
"""Value below zero, relative to the largest, that is taken for rounding when a floor at zero is looked for."""

INNER = 0.25
"""Share of the positions that must have their receptive field within the image for the others to be left out."""


def units(
    network: Network,
    images: ImagesLike,
    layer: str,
    *,
    top: int = 9,
    twins: float = 0.95,
    border: bool = False,
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
    images : images
        Anything that `phosphene.images` takes.
    layer : str
        Path of a layer, with positions on any number of axes or without.
    top : int, default 9
        Number of images to keep per channel: those that activate it most.
    twins : float, default 0.95
        Smallest correlation of a pair of near-duplicate channels, in (0, 1].
    border : bool, default False
        Whether the images that activate a channel most may be found at the border of its map, where the activation depends on
        padding. If not, positions whose receptive field reaches beyond the image are left out of `Units.top` as long as a
        quarter of all positions remains; in deeper layers, the outermost rows and columns are, as in an atlas. The other
        statistics always cover all positions.
    batch : int, optional
        Batch size (default: by the size of the activations).
    count, executor, on_error, progress
        As in `phosphene.activations`.

    Returns
    -------
    Units
        Patches are at most 64 pixels a side: larger receptive fields are shown at a smaller scale, and still smaller where the
        patches of all channels would need more than 256 MB.

    Raises
    ------
    UnknownLayer
        For a path that is not a layer of the network.
    InvalidParameter
        For a parameter outside its range.
    InvalidImages
        For images of the wrong shape, dtype or range, or when no image can be read.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite; they are left out of the statistics.
    """
    own = a_network(network).layers[layer]
    top, twins = capped("top", top, minimum=1, most=MOST_TOP), share("twins", twins, zero=False, example=0.95)
    border, batch = boolean("border", border), optional_integer("batch", batch, minimum=1)
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_on_error(on_error)
    check_progress(progress)
    spec = network.input
    source = source_of(images, spec, count=count)
    batch = min(batch or batch_by_memory(network, [layer]), len(source))
    finite = NotFinite(network.name)
    running: RunningStatistics | None = None
    names: tuple[str, ...] = ()
    start, seen = time.perf_counter(), 0
    digests = Digests()
    with network.scope(), reporter(progress, "units", len(source)) as tell:
        weights = network.weights()
        for whole, good in stream(
            source, spec.size, spec.channels, batch, executor=executor, on_error=on_error, seen=digests
        ):
            given = native(network, filled(whole, batch))
            read = network.backend.to_numpy(network.backend.run(Reading(network, (layer,)), weights, given)[layer])
            values = read[: len(whole)][good]
            finite.add(layer, values)
            if own.spatial:
                values = on_grid(values, own)
            if running is None:
                fields = receptive_fields(network, layer, spec.size)
                cutter = Cutter.of(fields, top * values.shape[-1], spec.channels)
                inner = None if border else _inner(fields, values.shape[1:-1], padded=own.axes[-2:-1] == ("column",))
                running = RunningStatistics.empty(values.shape[-1], top, cutter, inner)
                names = _names(network, layer, read, weights, given)
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
    finite.warn()
    settings = {
        **describe(network, 0, spec.size),
        "data": source.identity(),
        "pixels": digest_of_all(digests.taken()),
        "layer": layer,
        "receptive field": list(running.cutter.fields.size),
        "border": "left out" if running.inner is not None else "included",
    }
    return running.finish(layer, twins, names, settings)


def _inner(fields: Fields, shape: tuple[int, ...], *, padded: bool) -> NDArray[np.bool_] | None:
    """Mask of the positions that do not depend on padding, ``(P,)``; None if that is all, or none can be told apart."""
    if not fields.whole:
        within = fields.within(shape).ravel()
        if within.all():
            return None
        if within.mean() >= INNER:
            return within
    if not padded:
        return None
    ring = np.zeros(shape, np.bool_)
    ring[tuple(slice(1, -1) if side > 2 else slice(None) for side in shape)] = True
    return None if ring.all() else ring.ravel()


def _names(network: Network, layer: str, read: NDArray[Any], weights: Any, given: Any) -> tuple[str, ...]:
    """Class names of the channels of the output, or of a layer that has its values; ``()`` for other layers."""
    classes = tuple(network.classes or ())
    if len(classes) != read.shape[-1] or read.ndim != 2 or OUTPUT not in network.layers:
        return ()
    if layer != OUTPUT:
        output = network.backend.to_numpy(network.backend.run(Reading(network, (OUTPUT,)), weights, given)[OUTPUT])
        if not np.array_equal(output, read, equal_nan=True):
            return ()
    return classes


@dataclass(frozen=True)
class Cutter:
    """Cuts the receptive field of a position out of an image, at a scale at which the patches of all channels fit in memory."""

    fields: Fields
    scaled: Size
    size: Size
    colours: int

    @staticmethod
    def of(fields: Fields, count: int, colours: int) -> Cutter:
        """The cutter of `count` patches."""
        side = min(LARGEST_SIDE, int((PATCH_BYTES / (4 * colours * max(1, count))) ** 0.5))
        scale = min(1.0, max(SMALLEST_SIDE, side) / max(fields.size))
        image, size = ([max(1, round(side * scale)) for side in sides] for sides in (fields.image, fields.size))
        return Cutter(fields, (image[0], image[1]), (size[0], size[1]), colours)

    def shrunken(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The image ``(H, W, C)`` at the scale of the patches."""
        if self.scaled == tuple(image.shape[:2]):
            return image
        return np.moveaxis(upsample(np.moveaxis(image, -1, 0), self.scaled), 0, -1)

    def cut(self, shrunken: NDArray[np.float32], position: tuple[int, ...]) -> NDArray[np.float32]:
        """The receptive field of a position, mid-grey outside the image; the whole image for a layer without positions."""
        result = np.full((*self.size, self.colours), 0.5, np.float32)
        corner = self.fields.corner(position)
        top, left = (
            round(first * short / long)
            for first, short, long in zip(corner, self.scaled, self.fields.image, strict=True)
        )
        rows = slice(max(0, top), max(0, min(self.scaled[0], top + self.size[0])))
        columns = slice(max(0, left), max(0, min(self.scaled[1], left + self.size[1])))
        result[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = shrunken[rows, columns]
        return result


@dataclass
class RunningStatistics:
    """Sums over the images read so far, whose size does not depend on the number of images."""

    cutter: Cutter
    inner: NDArray[np.bool_] | None
    finite: Floats
    above: Floats
    on: Floats
    total: Floats
    products: Floats
    largest: Floats
    top: NDArray[np.int64]
    values: Floats
    patches: NDArray[np.float32]
    images: int = 0
    positions: int = 0
    lowest: float = field(default=np.inf)
    zeros: bool = False

    @staticmethod
    def empty(channels: int, top: int, cutter: Cutter, inner: NDArray[np.bool_] | None) -> RunningStatistics:
        """Statistics of no images."""
        finite, above, on, total = (np.zeros(channels) for _ in range(4))
        return RunningStatistics(
            cutter,
            inner,
            finite,
            above,
            on,
            total,
            np.zeros((channels, channels)),
            np.full(channels, -np.inf),
            np.full((channels, top), -1),
            np.full((channels, top), -np.inf),
            np.full((channels, top, *cutter.size, cutter.colours), 0.5, np.float32),
        )

    def update(self, values: NDArray[Any], images: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
        """Add a batch: activations ``(n, ..., C)``, its images, and their indices in the data set."""
        if len(values) == 0:
            return
        rows = values.reshape(len(values), -1, values.shape[-1]).astype(np.float64)
        flat = rows.reshape(-1, rows.shape[-1])
        self.images += len(rows)
        self.positions += len(flat)
        peaked = rows
        with np.errstate(invalid="ignore"):
            sums = flat.sum(axis=0)
        if np.all(np.isfinite(sums)):
            self.finite += len(flat)
            self.lowest = min(self.lowest, float(flat.min()))
            self.zeros = self.zeros or bool((flat == 0).any())
        else:
            valid = np.isfinite(flat)
            self.finite += valid.sum(axis=0)
            self.lowest = min(self.lowest, float(np.where(valid, flat, np.inf).min()))
            self.zeros = self.zeros or bool((flat == 0).any())
            peaked = np.where(valid, flat, -np.inf).reshape(rows.shape)
            flat = np.where(valid, flat, 0.0)
            sums = flat.sum(axis=0)
        self.above += (flat > 0).sum(axis=0)
        self.on += (peaked > 0).any(axis=1).sum(axis=0)
        self.total += sums
        self.products += flat.T @ flat
        self.largest = np.maximum(self.largest, peaked.max(axis=(0, 1)))
        self._rank(peaked, values.shape[1:-1], images, numbers)

    def _rank(
        self, rows: Floats, shape: tuple[int, ...], images: NDArray[np.float32], numbers: NDArray[np.int64]
    ) -> None:
        """Merge the peaks of a batch ``(n, P, C)`` into the top lists, and cut patches of those that stay."""
        if self.inner is not None:
            rows = np.where(self.inner[None, :, None], rows, -np.inf)
        kept, peaks = self.values.shape[1], rows.max(axis=1)
        if not (peaks > self.values.min(axis=1)).any():
            return
        candidates = np.concatenate([self.values, peaks.T], axis=1)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, :kept]  # of equal ones, the first image
        old, new = self.patches, order >= kept
        places = rows.argmax(axis=1)
        self.values = np.take_along_axis(candidates, order, axis=1)
        known = np.concatenate([self.top, np.broadcast_to(numbers, (len(self.top), len(numbers)))], axis=1)
        self.top = np.where(np.isneginf(self.values), -1, np.take_along_axis(known, order, axis=1))
        shrunken: dict[int, NDArray[np.float32]] = {}
        for channel in np.flatnonzero(new.any(axis=1)):
            moved = old[channel][np.minimum(order[channel], kept - 1)]
            for rank in np.flatnonzero(new[channel] & (self.top[channel] >= 0)):
                image = int(order[channel, rank]) - kept
                if image not in shrunken:
                    shrunken[image] = self.cutter.shrunken(images[image])
                position = np.unravel_index(int(places[image, channel]), shape) if shape else ()
                moved[rank] = self.cutter.cut(shrunken[image], tuple(map(int, position)))
            self.patches[channel] = moved

    def finish(self, layer: str, twins: float, names: tuple[str, ...], settings: dict[str, Any]) -> Units:
        """Compute the statistics."""
        known = self.finite > 0
        count = np.where(known, self.finite, 1.0)
        mean = self.total / count
        covariance = self.products / self.positions - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(self.products) / count - mean * mean, 0))
        largest = np.where(known, self.largest, 0.0)
        # A constant channel correlates with nothing, but rounding could make it seem so; nor does one that is not finite.
        moving = (deviation > 1e-6 * np.maximum(np.abs(largest), 1e-12)) & (self.finite == self.positions)
        scale = np.where(moving, deviation, np.inf)
        correlation = covariance / scale[:, None] / scale[None]
        pairs = np.argwhere(np.triu(correlation >= twins, k=1))
        found = sorted(
            ((int(a), int(b), float(min(correlation[a, b], 1.0))) for a, b in pairs), key=lambda pair: -pair[2]
        )
        unknown = np.where(known, 0.0, np.nan)
        # The values themselves tell: none is below zero, and some are zero, as behind a rectifier.
        floor = self.zeros and self.lowest >= -ROUNDING * max(float(np.abs(largest).max()), 1e-12)
        return Units(
            layer=layer,
            images=self.images,
            density=self.above / count + unknown,
            on=self.on / self.images + unknown,
            mean=mean + unknown,
            deviation=deviation + unknown,
            largest=largest + unknown,
            top=self.top,
            top_values=self.values,
            patches=self.patches,
            twins=tuple(found),
            settings=settings,
            floor=floor,
            names=names,
        )
