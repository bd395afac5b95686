"""The receptive field of a position, measured from gradients rather than computed from kernel sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network, native
from phosphene.draws import generator
from phosphene.kit.checks import a_network, integer, pair_of
from phosphene.layers import Layer
from phosphene.types import Array, Floats, Size, Tree

__all__ = ["Fields", "extent", "influence", "receptive_field", "receptive_fields"]

Box = tuple[tuple[int, int], tuple[int, int]]
"""Start and stop of the rows and of the columns of a part of the image."""

MOST_IMAGES = 10_000
"""Largest number of noise images; they are run in one batch."""

IMAGES = 4
"""Number of noise images; a pixel that matters has a gradient in at least one of them."""

COUNTS = ((IMAGES, 2, 1), (16, 16, 8))
"""Noise images for the central position, for each moved one and for each check; more if units that are inactive hide the edges."""

SLACK = 0.15
"""Share of a receptive field by which its edges may differ where one image of noise does not reach all of it."""


@dataclass(frozen=True)
class Reach:
    """``(weights, images, signs (N, ..., C)) -> |gradient|`` of each image for a weighted sum of a layer's values.

    Weights that are zero at all positions but one give the gradient of that position; each image may have its own.
    """

    network: Network
    layer: str

    def __call__(self, weights: Tree, images: Array, signs: Array) -> Array:
        network, xp = self.network, self.network.backend.xp

        def objective(x: Array) -> tuple[Array, tuple[()]]:
            activation = network.forward(x, [self.layer], weights=weights)[self.layer]
            return xp.sum(activation * signs), ()

        return xp.abs(network.backend.grad(objective)(images)[0])


@dataclass(frozen=True)
class Fields:
    """The receptive fields of all positions of a layer: those of the central one, moved by whole steps.

    Attributes
    ----------
    image : (int, int)
        Height and width of the image in pixels.
    size : (int, int)
        Height and width of a receptive field in pixels; those of the image where every position depends on all of it.
    centre : tuple of int
        The central position.
    start : (float, float)
        First row and column of its receptive field.
    steps : tuple of (float, float)
        Rows and columns by which the field moves for a step along each axis of positions.
    """

    image: Size
    size: Size
    centre: tuple[int, ...]
    start: tuple[float, float]
    steps: tuple[tuple[float, float], ...]

    @property
    def whole(self) -> bool:
        """Whether every position depends on the whole image, or its field could not be measured."""
        return self.size == tuple(self.image)

    def corner(self, position: Sequence[int]) -> Size:
        """First row and column of the field of a position; negative if it reaches beyond the image."""
        offset = np.asarray(position, np.float64) - np.asarray(self.centre, np.float64)
        top, left = np.asarray(self.start) + offset @ np.asarray(self.steps).reshape(-1, 2)
        return int(np.floor(top + 0.5)), int(np.floor(left + 0.5))

    def within(self, shape: Sequence[int]) -> NDArray[np.bool_]:
        """Mask of the positions of a layer of that shape whose field lies within the image."""
        offsets = np.indices(tuple(shape)).reshape(len(shape), -1).T - np.asarray(self.centre)
        corners = np.floor(np.asarray(self.start) + offsets @ np.asarray(self.steps).reshape(-1, 2) + 0.5)
        inside = ((corners >= 0) & (corners + np.asarray(self.size) <= np.asarray(self.image))).all(axis=1)
        return np.asarray(inside.reshape(tuple(shape)), np.bool_)


def receptive_field(network: Network, layer: str, size: Size | None = None) -> Size:
    """Measure the receptive field of the central position of a layer.

    It is the extent of the gradient of noise images, over all channels at once. Pixels that only reach dead units may be
    missed. For a layer without positions, it is the whole image.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer; it may have any number of axes of positions.
    size : (int, int), optional
        Height and width of the image in pixels (default: the network's native size).

    Returns
    -------
    (int, int)
        Height and width in pixels.

    Raises
    ------
    UnknownLayer
        For a path that is not a layer of the network.
    InvalidParameter
        For something else than a network, or another size than pixels.
    """
    a_network(network).layers[layer]
    rows, columns = extent(network, layer, network.input.size if size is None else pair_of("size", size))
    return rows[1] - rows[0], columns[1] - columns[0]


def extent(network: Network, layer: str, size: Size, *, images: int = IMAGES) -> Box:
    """Return the rows and columns of the image on which the central position of a layer depends.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer; it may have any number of axes of positions.
    size : (int, int)
        Height and width of the image in pixels.
    images : int, default 4
        Number of noise images on which it is measured.

    Returns
    -------
    ((int, int), (int, int))
        Start and stop of the rows and of the columns; the whole image for a layer without positions.
    """
    size, images = (
        network.input.size if size is None else pair_of("size", size),
        integer("images", images, minimum=1, maximum=MOST_IMAGES),
    )
    whole = (0, size[0]), (0, size[1])
    if not a_network(network).layers[layer].spatial:
        return whole
    with network.scope():
        shape = network.shapes(size)[layer]
    cells, before = _grid(network.layers[layer], shape)
    position = _index(tuple(side // 2 for side in cells), shape, before, cells)
    return _box(influence(network, layer, size, position, images=images)) or whole


def receptive_fields(network: Network, layer: str, size: Size) -> Fields:
    """Measure the receptive fields of all positions of a layer, at a few of them.

    The central field is measured, and one moved along each axis of positions. Two further positions are compared with what
    follows for them; if they depend on other pixels, as behind attention or a reshape, every field counts as the whole image.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer. Positions of tokens with a known grid are rows and columns of patches.
    size : (int, int)
        Height and width of the image in pixels.

    Returns
    -------
    Fields
    """
    own, size = a_network(network).layers[layer], network.input.size if size is None else pair_of("size", size)
    with network.scope():
        shape = network.shapes(size)[own.path]
    cells, before = _grid(own, shape)
    centre = tuple(side // 2 for side in cells)
    whole = Fields((size[0], size[1]), (size[0], size[1]), centre, (0.0, 0.0), ((0.0, 0.0),) * len(cells))
    if not cells:
        return whole
    moved = {
        axis: (*centre[:axis], centre[axis] - max(1, side // 4), *centre[axis + 1 :])
        for axis, side in enumerate(cells)
        if side > 1
    }
    checks = [tuple(side // 4 for side in cells), tuple((3 * side) // 4 for side in cells)]
    places = [centre, *moved.values(), *checks]
    for counts in COUNTS:
        many = [counts[0], *[counts[1]] * len(moved), *[counts[2]] * len(checks)]
        rows = [
            _index(place, shape, before, cells) for place, count in zip(places, many, strict=True) for _ in range(count)
        ]
        found = np.split(_reached(network, layer, size, rows), np.cumsum(many)[:-1])
        central, *others = (_box(each.mean(axis=0)) for each in found)
        if central == ((0, size[0]), (0, size[1])):
            return whole
        fields = _fitted(whole, central, dict(zip(moved, others, strict=False)), moved)
        if fields is not None and _agrees(fields, checks, others[len(moved) :]):
            return fields
    return whole


def _fitted(
    whole: Fields, central: Box | None, boxes: dict[int, Box | None], moved: dict[int, tuple[int, ...]]
) -> Fields | None:
    """Fields that move by whole steps, from the central one and one moved along each axis; None where they show no steps."""
    if central is None:
        return None
    start, length, steps = [], [], np.zeros((len(whole.centre), 2))
    for side in (0, 1):
        (first, last), limit = central[side], whole.image[side]
        if last - first == limit:  # every position depends on all rows, or all columns
            start.append(0.0)
            length.append(limit)
            continue
        longest = last - first
        for axis, box in boxes.items():
            if box is None:
                return None
            distance = whole.centre[axis] - moved[axis][axis]
            shifts = [first - box[side][0]] * (first > 0 and box[side][0] > 0)
            shifts += [last - box[side][1]] * (last < limit and box[side][1] < limit)
            if not shifts or max(shifts) - min(shifts) > 1:
                return None
            # Whole steps, unless the layer is finer than the pixels or its grid is no whole part of them.
            nearest = round(shifts[0] / distance)
            steps[axis, side] = nearest if abs(nearest * distance - shifts[0]) <= 1 else shifts[0] / distance
            longest = max(longest, box[side][1] - box[side][0])  # a field that the image clips is longer elsewhere
        start.append(float(first if first > 0 or last == limit else last - longest))
        length.append(longest)
    moves = tuple((float(down), float(right)) for down, right in steps)
    return Fields(whole.image, (length[0], length[1]), whole.centre, (start[0], start[1]), moves)


def influence(network: Network, layer: str, size: Size, position: tuple[int, ...], *, images: int = IMAGES) -> Floats:
    """Return the influence of each pixel on a position of a layer.

    It is the mean absolute gradient over noise images of a random weighted sum of the channels.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer.
    size : (int, int)
        Height and width of the image in pixels.
    position : tuple of int
        Position in the layer.
    images : int, default 4
        Number of noise images on which it is measured.

    Returns
    -------
    numpy.ndarray (H, W)
    """
    found: Floats = _reached(network, layer, size, [position] * images).mean(axis=0)
    return found


def _reached(network: Network, layer: str, size: Size, positions: Sequence[tuple[int, ...]]) -> Floats:
    """Mean absolute gradient over the colours of a noise image for each of the positions, ``(N, H, W)``."""
    with network.scope():
        shape = network.shapes(size)[layer]
        random = generator(0, "receptive field")
        noise = random.random((len(positions), *size, network.input.channels))
        signs = random.standard_normal((len(positions), shape[-1]))
        # A mask in place of an index: one compiled program serves all positions.
        masked = np.zeros((len(positions), *shape))
        for row, position in enumerate(positions):
            masked[(row, *position)] = signs[row]
        given = native(network, noise), native(network, masked)
        reached = network.backend.run(Reach(network, layer), network.weights(), *given)
        found: Floats = network.backend.to_numpy(reached).mean(axis=3)
    return found


def _agrees(fields: Fields, places: Sequence[tuple[int, ...]], boxes: Sequence[Box | None]) -> bool:
    """Whether the pixels that reach some positions are where they are expected; inactive units may hide some of them."""
    if all(box is None for box in boxes):
        return False
    for place, box in zip(places, boxes, strict=True):
        corner = fields.corner(place)
        for side in (0, 1):
            slack = max(2.0, SLACK * fields.size[side])
            first, last = corner[side], corner[side] + fields.size[side]
            if box is not None and (box[side][0] < first - slack or box[side][1] > last + slack):
                return False
    return True


def _grid(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Sides of the grid of positions, and the number of tokens before it; rows and columns for patches."""
    tokens = layer.tokens
    if layer.axes == ("token", "channel") and tokens is not None and shape[0] == tokens.count:
        return tuple(tokens.grid), len(tokens.prefix)
    return tuple(shape[:-1]), 0


def _index(place: tuple[int, ...], shape: tuple[int, ...], before: int, cells: tuple[int, ...]) -> tuple[int, ...]:
    """Index in the layer of a position of the grid."""
    return place if len(place) == len(shape) - 1 else (before + place[0] * cells[1] + place[1],)


def _box(influenced: Floats) -> Box | None:
    """Rows and columns with any influence; None without any."""
    seen = influenced > 0
    if not seen.any():
        return None
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)
