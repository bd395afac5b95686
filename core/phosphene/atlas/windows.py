"""The part of an image that a position of a layer mostly looks at: what is cut out as its patch, and what its icon is cut to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.positions import places_of
from phosphene.backend import Network
from phosphene.errors import InvalidParameter, said
from phosphene.receptive_field import influence
from phosphene.types import Floats, Size

__all__ = ["MASS", "Window", "total_stride", "window"]

MASS = 0.9
"""Share of the gradient that a window holds."""

IMAGES = 16
"""Of noise, on which a window is measured: more than show whether a pixel is seen at all, since the shares are weighed."""


@dataclass(frozen=True)
class Window:
    """A window that moves over an image with the positions of a layer.

    Attributes
    ----------
    size : (int, int)
        Its height and width in pixels.
    corner : (float, float)
        Row and column of its upper left corner for the layer's first position; may be negative.
    stride : (float, float)
        Pixels by which it moves from one position to the next.
    image : (int, int)
        Height and width of the image.
    grid : (int, int)
        Rows and columns of positions.
    """

    size: Size
    corner: tuple[float, float]
    stride: tuple[float, float]
    image: Size
    grid: Size

    def boxes(self, positions: ArrayLike) -> NDArray[np.int64]:
        """The windows of positions, in whole pixels: shifted, not shrunk, where they would leave the image.

        Parameters
        ----------
        positions : array-like (P, 2) of int
            Row and column in the layer's grid.

        Returns
        -------
        numpy.ndarray (P, 4)
            Top, bottom, left, right; half-open.

        Raises
        ------
        InvalidParameter
            For positions that the grid does not have.
        """
        places = np.asarray(positions, np.int64).reshape(-1, 2)
        if ((places < 0) | (places >= np.array(self.grid))).any():
            wrong = places[((places < 0) | (places >= np.array(self.grid))).any(axis=1)][0]
            raise InvalidParameter(
                "positions", allowed=f"rows below {self.grid[0]} and columns below {self.grid[1]}",
                received=said(f"row {wrong[0]}, column {wrong[1]}"), fix="Positions are of the layer that the window is of.",
            )  # fmt: skip
        size, image = np.array(self.size), np.array(self.image)
        start = np.floor(np.array(self.corner) + places * np.array(self.stride) + 0.5).astype(np.int64)
        start = np.clip(start, 0, image - size)
        stop = start + size
        return np.stack([start[:, 0], stop[:, 0], start[:, 1], stop[:, 1]], axis=1)


def window(network: Network, layer: str, *, size: Size | None = None, mass: float = MASS) -> Window:
    """The window of a layer's positions: the smallest square about its centre that holds most of the gradient.

    What a position may depend on (`phosphene.receptive_field`) is much larger than what it mostly depends on, the effective
    receptive field (Luo et al. 2016). The gradient of the central position is measured on noise. Its centre of mass is where
    the window is centred: a convolution of stride 2 that pads on both sides looks half a pixel up and left of its cell's middle,
    and after three of them that is nearly half the cell.

    Parameters
    ----------
    network : Network
    layer : str
        Of rows and columns, or of tokens. The window of one without positions is the whole image, and so is that of a layer whose
        gradient vanishes.
    size : (int, int), optional
        Of the image; the network's own when absent.
    mass : float, default 0.9
        Share of the gradient that it holds, in (0, 1]; 1 is the receptive field.

    Returns
    -------
    Window

    Raises
    ------
    UnknownLayer
        When there is no such layer.
    InvalidParameter
        For attention maps, windows of tokens and other layers whose axes are no positions, and for another `mass`.
    """
    if not 0 < mass <= 1:
        raise InvalidParameter("mass", allowed="a share in (0, 1]", received=mass, fix="0.9 is usual.")
    image, known = size or network.input.size, network.layers[layer]
    with network.scope():
        shape = tuple(network.shapes(image)[layer])
    places = places_of(known, shape or (1,))
    grid = places.rows, places.columns
    whole = Window(image, (0.0, 0.0), (0.0, 0.0), image, grid)
    # Tokens that are no patches lie in a row of their own: nobody knows where in the image.
    if not places.shape or (len(places.shape) == 1 and places.rows == 1):
        return whole
    middle = places.rows // 2, places.columns // 2
    position = middle if len(places.shape) == 2 else (places.before + middle[0] * places.columns + middle[1],)
    seen = influence(network, layer, image, position, images=IMAGES).astype(np.float64)
    if not (np.isfinite(seen).all() and seen.sum() > 0):
        return whole
    centre, held = _held(seen / seen.sum(), mass)
    stride = image[0] / places.rows, image[1] / places.columns
    first = [centre[axis] - middle[axis] * stride[axis] - held[axis] / 2 for axis in (0, 1)]
    return Window(held, (float(first[0]), float(first[1])), stride, image, grid)


def total_stride(network: Network, size: Size | None = None) -> Size:
    """By how many pixels an image is moved until a network sees the same again: the stride of its coarsest positions.

    Parameters
    ----------
    network : Network
    size : (int, int), optional
        Of the image; the network's own when absent.

    Returns
    -------
    (int, int)
        Down and across; 1 where no layer has rows and columns.
    """
    image = size or network.input.size
    with network.scope():
        shapes = network.shapes(image)
    rows, columns = image
    for path, layer in network.layers.items():
        if layer.axes not in (("row", "column", "channel"), ("token", "channel")):
            continue
        places = places_of(layer, tuple(shapes[path]))
        # One row is no grid: it is what is left of one after averaging.
        if places.rows > 1 and places.columns > 1:
            rows, columns = min(rows, places.rows), min(columns, places.columns)
    return max(1, round(image[0] / rows)), max(1, round(image[1] / columns))


def _held(shares: Floats, mass: float) -> tuple[tuple[float, float], Size]:
    """Centre of mass, and height and width of the smallest square about it (cut at the image's size) that holds so much."""
    height, width = shares.shape
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    centre = float(shares.sum(axis=1) @ rows), float(shares.sum(axis=0) @ columns)
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = shares.cumsum(axis=0).cumsum(axis=1)
    for side in range(1, max(height, width)):
        held = min(side, height), min(side, width)
        top, left = (
            int(np.clip(np.floor(centre[axis] - held[axis] / 2 + 0.5), 0, shares.shape[axis] - held[axis]))
            for axis in (0, 1)
        )
        bottom, right = top + held[0], left + held[1]
        inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        if inside >= mass - 1e-6:
            return centre, held
    return centre, (height, width)
