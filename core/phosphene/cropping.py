"""Windows of the image that hold all that one position of a layer depends on: what lies outside need not be computed.

A neuron of an early layer sees a few pixels of the image. Where its receptive field is finite, the network is run on a window
around it, aligned to the layer's stride, and the neuron's value there is its value in the whole. That is not taken on trust:
adaptive pooling, coordinates and upsampling look local and are not, so each window is checked on noise, and where it does not
hold the whole image is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.errors import ModelFailed
from phosphene.receptive_field import extent
from phosphene.types import Array, Size, Tree

__all__ = ["Crop", "crops"]

LARGEST = 0.7
"""Share of the image above which a window is not worth its while."""

TOLERANCE = 1e-4
"""Of the value in the window, relative to the largest channel's: rounding differs by far less, a wrong window by far more."""

AT_ONCE = 16
"""Positions that are checked in one pass."""


@dataclass(frozen=True)
class Crop:
    """A window, in pixels of what the network sees, and the place in the layer of that window.

    Attributes
    ----------
    origin : (int, int)
        Its first row and column.
    size : (int, int)
        Height and width.
    position : (int, int)
        Of the wanted position, in the layer computed from the window alone.
    """

    origin: Size
    size: Size
    position: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """``(weights, images, positions (N, 2)) -> (N, C)``: a layer at one position of each image."""

    network: Network
    layer: str

    def __call__(self, weights: Tree, images: Array, positions: Array) -> Array:
        activation = self.network.forward(images, [self.layer], weights=weights)[self.layer]
        rows = self.network.backend.xp.arange(activation.shape[0])
        return activation[rows, positions[:, 0], positions[:, 1]]


def crops(network: Network, layer: str, positions: Sequence[tuple[int, int]], size: Size) -> list[Crop | None]:
    """A window for each position, all of one size; None where the whole image has to be computed.

    Parameters
    ----------
    network : Network
    layer : str
    positions : sequence of (int, int)
        In the layer, at that size of the image.
    size : (int, int)
        Of what the network sees.

    Returns
    -------
    list of Crop or None
    """
    nothing: list[Crop | None] = [None] * len(positions)
    shape = network.shapes(size)[layer]
    if len(shape) != 3 or network.layers[layer].windows > 1 or not network.layers[layer].spatial:
        return nothing
    field = extent(network, layer, size, images=1)  # what one image does not show, the check below does
    stride = tuple(max(1, round(side / cells)) for side, cells in zip(size, shape[:2], strict=True))
    # A maximum sends its gradient to one pixel, so that the rim of the field may have shown in none of the images.
    for margin in (0, 1, 2):
        wanted = [_around(field, stride, margin, shape[:2], position, size) for position in positions]
        if wanted[0].size[0] * wanted[0].size[1] > LARGEST * size[0] * size[1]:
            return nothing
        held = _checked(network, layer, positions, wanted, size)
        if any(held):
            return [crop if holds else None for crop, holds in zip(wanted, held, strict=True)]
    return nothing


def _around(
    field: tuple[tuple[int, int], tuple[int, int]],
    stride: tuple[int, ...],
    margin: int,
    cells: tuple[int, ...],
    position: tuple[int, int],
    size: Size,
) -> Crop:
    """The field of the central position, moved to another one and kept inside the image, in whole strides."""
    origin, extents, inside = [], [], []
    for axis in (0, 1):
        step = stride[axis]
        first, last = field[axis][0] // step - margin, -(-field[axis][1] // step) + margin
        length = min(last - first, size[axis] // step)
        start = first + position[axis] - cells[axis] // 2
        start = min(max(start, 0), size[axis] // step - length)
        origin.append(start * step)
        extents.append(length * step)
        inside.append(position[axis] - start)
    return Crop((origin[0], origin[1]), (extents[0], extents[1]), (inside[0], inside[1]))


def _checked(
    network: Network, layer: str, positions: Sequence[tuple[int, int]], wanted: Sequence[Crop], size: Size
) -> list[bool]:
    """Whether each position has the same value in its window as in the whole, on noise."""
    try:
        cells = network.shapes(wanted[0].size)[layer]
    except ModelFailed:
        return [False] * len(wanted)  # it takes no other size than its own
    if len(cells) != 3 or any(crop.position[axis] >= cells[axis] for crop in wanted for axis in (0, 1)):
        return [False] * len(wanted)
    held: list[bool] = []
    random = generator(1, "receptive field")
    reading, backend = Reading(network, layer), network.backend
    with network.scope():
        weights = network.weights()
        for start in range(0, len(wanted), AT_ONCE):
            some, at = wanted[start : start + AT_ONCE], positions[start : start + AT_ONCE]
            images = random.random((len(some), *size, network.input.channels))
            parts = np.stack(
                [
                    image[
                        crop.origin[0] : crop.origin[0] + crop.size[0], crop.origin[1] : crop.origin[1] + crop.size[1]
                    ]
                    for image, crop in zip(images, some, strict=True)
                ]
            )
            whole, part = (
                backend.to_numpy(
                    backend.run(reading, weights, native(network, given), native(network, np.asarray(places, np.int32)))
                )
                for given, places in ((images, list(at)), (parts, [crop.position for crop in some]))
            )
            apart = np.abs(whole - part).max(axis=1)
            held += list(apart <= TOLERANCE * np.abs(whole).max(axis=1))
    return [bool(holds) for holds in held]
