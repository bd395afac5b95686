"""Random positions inside an image, the same place in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.layers import Layer

__all__ = ["Places", "draw_positions", "most_positions", "places_of"]


@dataclass(frozen=True)
class Places:
    """The positions of a layer as rows and columns.

    Attributes
    ----------
    rows, columns : int
        ``1, T`` for tokens that are not patches, ``1, 1`` for a layer without positions.
    before : int
        Number of tokens before the patches.
    shape : tuple of int
        Shape of the layer without channels: ``(h, w)``, ``(T,)`` or ``()``.
    """

    rows: int
    columns: int
    before: int
    shape: tuple[int, ...]

    @property
    def inside(self) -> tuple[int, int]:
        """Number of rows and columns off the border; all of them if there are fewer than three."""
        rows, columns = (side - 2 if side > 2 else side for side in (self.rows, self.columns))
        return rows, columns

    def at(self, relative: NDArray[np.floating]) -> NDArray[np.int32]:
        """Row and column ``(..., 2)`` of relative positions ``(..., 2)`` in [0, 1), never on the border."""
        sides = np.array([self.rows, self.columns])
        border = (sides > 2).astype(np.int64)
        # Positions are drawn off the border; rounding must not move them onto it.
        cell = np.floor(np.asarray(relative) * sides).astype(np.int64)
        inside: NDArray[np.int32] = np.clip(cell, border, sides - 1 - border).astype(np.int32)
        return inside

    def mask(self, position: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Mask that is true at one position of each image: ``(N, 2) -> (N, *shape, 1)``."""
        count = int(np.prod(self.shape, dtype=np.int64))
        found = np.zeros((len(position), count), np.bool_)
        found[np.arange(len(position)), self.before + position[:, 0] * self.columns + position[:, 1]] = True
        return found.reshape(len(position), *self.shape, 1)


def places_of(layer: Layer, shape: tuple[int, ...]) -> Places:
    """The positions of a layer whose activation for one image has this shape.

    Raises
    ------
    InvalidParameter
        For attention maps, token windows and other layers whose axes are not positions.
    """
    if len(shape) == 1:
        return Places(1, 1, 0, ())
    if layer.axes == ("row", "column", "channel"):
        return Places(shape[0], shape[1], 0, shape[:2])
    if layer.axes == ("token", "channel"):
        tokens = layer.tokens
        if tokens is None or tokens.count != shape[0]:
            return Places(1, shape[0], 0, shape[:1])
        return Places(*tokens.grid, len(tokens.prefix), shape[:1])
    raise InvalidParameter(
        "layers",
        allowed="layers with rows and columns, with tokens, or without positions",
        received=said(f"{layer.path}, whose axes are {', '.join(layer.axes)}"),
        fix="Choose another layer: net.layers shows their axes.",
    )


def most_positions(places: Sequence[Places]) -> int:
    """Number of different positions of an image in the coarsest of several layers."""
    rows, columns = _coarsest(places).inside
    return rows * columns


def draw_positions(places: Sequence[Places], count: int, seed: int, images: Sequence[int]) -> NDArray[np.float64]:
    """Draw relative positions (row, column) of each image, off the border and different in the coarsest layer.

    Parameters
    ----------
    places : sequence of Places
        Positions of all layers. A drawn position is a point of the image, so that it is the same place in every layer; it is
        off the border of the coarsest layer, and so of all others.
    count : int
        Positions per image.
    seed : int
        Random seed.
    images : sequence of int
        Numbers of the images. The positions depend only on the seed and this number, not on the batch.

    Returns
    -------
    numpy.ndarray (len(images), count, 2)
        In (0, 1).
    """
    coarsest = _coarsest(places)
    rows, columns = coarsest.inside
    sides = np.array([coarsest.rows, coarsest.columns])
    border = (sides > 2).astype(np.float64)
    found = np.empty((len(images), count, 2))
    for place, image in enumerate(images):
        random = generator(seed, "atlas positions", str(image))
        cells = random.choice(rows * columns, count, replace=False)
        corner = np.stack(np.divmod(cells, columns), axis=1) + border
        found[place] = (corner + random.random((count, 2))) / sides
    return found


def _coarsest(places: Sequence[Places]) -> Places:
    return Places(min(each.rows for each in places), min(each.columns for each in places), 0, ())
