"""Windows: the part of the image that a position of a layer depends on, so that the network need not be run on the rest.

A neuron of an early layer sees a few pixels of the image. If its receptive field is finite, the network is run on a window around
it, aligned to the layer's stride, in which the neuron has the value that it has in the whole image. Adaptive pooling, coordinates
and upsampling look local and are not. Therefore each window is checked on noise, and the whole image is used where values differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import arange
from phosphene.backend import Network, native
from phosphene.draws import generator
from phosphene.errors import ModelFailed
from phosphene.objectives import Bound
from phosphene.objectives.forms import DirectionForm, Form, NeuronForm
from phosphene.objectives.location import ShapesAt
from phosphene.receptive_field import extent
from phosphene.types import Array, Size, Tree

__all__ = ["Window", "at_one_position", "in_window", "position_of", "windows"]

LARGEST = 0.7
"""Share of the image above which a window is not worth using."""

TOLERANCE = 1e-4
"""Allowed error of the value in the window, relative to the largest channel: rounding is far below it, a wrong window far above."""

AT_ONCE = 16
"""Positions that are checked in one pass."""


@dataclass(frozen=True)
class Window:
    """A part of what the network sees, in pixels, and the position of a layer that depends on nothing else.

    Attributes
    ----------
    origin : (int, int)
        First row and column.
    size : (int, int)
        Height and width.
    position : (int, int)
        Row and column of the position, in the layer computed from the window alone.
    """

    origin: Size
    size: Size
    position: tuple[int, int]

    def of(self, image: Array) -> Array:
        """That part of an image ``(H, W, C)``."""
        (top, left), (height, width) = self.origin, self.size
        return image[top : top + height, left : left + width]


@dataclass(frozen=True)
class Reading:
    """``(weights, images, positions (N, 2)) -> (N, C)``: a layer at one position of each image."""

    network: Network
    layer: str

    def __call__(self, weights: Tree, images: Array, positions: Array) -> Array:
        activation = self.network.forward(images, [self.layer], weights=weights)[self.layer]
        rows = arange(self.network.backend.xp, activation.shape[0], activation)
        return activation[rows, positions[:, 0], positions[:, 1]]


def at_one_position(form: Form) -> bool:
    """Whether an objective reads one position of one layer."""
    return isinstance(form, NeuronForm) or (isinstance(form, DirectionForm) and form.where != "mean")


def position_of(bound: Bound, cells: tuple[int, int]) -> tuple[int, int]:
    """The position that an objective at one position reads, of a layer with `cells` rows and columns of them."""
    form = bound.form
    central = form.central if isinstance(form, NeuronForm) else getattr(form, "where", "") == "centre"
    if central:
        return cells[0] // 2, cells[1] // 2
    row, column = bound.arguments[-1]
    return int(row), int(column)


def in_window(bound: Bound, window: Window) -> tuple[Form, Tree]:
    """Form and arguments of an objective at one position, on what the network computes from the window."""
    form, position = bound.form, np.asarray(window.position, np.int32)
    if isinstance(form, NeuronForm):
        return NeuronForm(form.layer, central=False), (bound.arguments[0], position)
    measure = form.measure if isinstance(form, DirectionForm) else "dot"
    return DirectionForm(form.layers[0], "at", measure), (*bound.arguments[:2], position)


def windows(network: Network, layer: str, positions: Sequence[tuple[int, int]], size: Size) -> list[Window | None]:
    """A window for each position of a layer, all of one size.

    Parameters
    ----------
    network : Network
    layer : str
    positions : sequence of (int, int)
        Of the layer, as computed from the whole.
    size : (int, int)
        Height and width of what the network sees.

    Returns
    -------
    list of Window or None
        None where the network has to be run on the whole.
    """
    nothing: list[Window | None] = [None] * len(positions)
    shape = network.shapes(size)[layer]
    if len(shape) != 3 or network.layers[layer].windows > 1 or not network.layers[layer].spatial:
        return nothing
    field = extent(network, layer, size, images=1)  # the check below finds what one image does not show
    stride = tuple(max(1, round(side / cells)) for side, cells in zip(size, shape[:2], strict=True))
    # The gradient of a maximum goes to one pixel, so that the rim of the field may have been missed.
    for margin in (0, 1, 2):
        wanted = [_around(field, stride, margin, shape[:2], position, size) for position in positions]
        if wanted[0].size[0] * wanted[0].size[1] > LARGEST * size[0] * size[1]:
            return nothing
        held = _checked(network, layer, positions, wanted, size)
        if any(held):
            return [window if holds else None for window, holds in zip(wanted, held, strict=True)]
    return nothing


def _around(
    field: tuple[tuple[int, int], tuple[int, int]],
    stride: tuple[int, ...],
    margin: int,
    cells: tuple[int, ...],
    position: tuple[int, int],
    size: Size,
) -> Window:
    """The receptive field of the central position, moved to another one in whole strides and kept inside the image."""
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
    return Window((origin[0], origin[1]), (extents[0], extents[1]), (inside[0], inside[1]))


def _checked(
    network: Network, layer: str, positions: Sequence[tuple[int, int]], wanted: Sequence[Window], size: Size
) -> list[bool]:
    """Whether each position has the same value in its window as in the whole, on images of noise."""
    try:
        cells = ShapesAt(network, wanted[0].size)[layer]
    except ModelFailed:
        return [False] * len(wanted)  # a layer for images of one fixed size
    if len(cells) != 3 or any(window.position[axis] >= cells[axis] for window in wanted for axis in (0, 1)):
        return [False] * len(wanted)
    held: list[bool] = []
    random = generator(1, "receptive field")
    reading, backend = Reading(network, layer), network.backend
    with network.scope():
        weights = network.weights()
        for start in range(0, len(wanted), AT_ONCE):
            some, at = wanted[start : start + AT_ONCE], positions[start : start + AT_ONCE]
            images = random.random((len(some), *size, network.input.channels))
            parts = np.stack([window.of(image) for image, window in zip(images, some, strict=True)])
            whole, part = (
                backend.to_numpy(
                    backend.run(reading, weights, native(network, given), native(network, np.asarray(places, np.int32)))
                )
                for given, places in ((images, list(at)), (parts, [window.position for window in some]))
            )
            apart = np.abs(whole - part).max(axis=1)
            held += list(apart <= TOLERANCE * np.abs(whole).max(axis=1))
    return [bool(holds) for holds in held]
