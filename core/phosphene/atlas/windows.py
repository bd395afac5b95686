"""The part of an image that a position of a layer mostly depends on, and cutting it out as a patch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.positions import places_of
from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.streams import picked
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import a_network, canvas_size, share
from phosphene.receptive_field import influence
from phosphene.types import Floats, Size

__all__ = ["MASS", "Window", "cut_patches", "resized", "total_stride", "window"]

MASS = 0.9
"""Share of the gradient that a window contains."""

IMAGES = 16
"""Number of noise images on which a window is measured: shares need more images than a test of dependence does."""

AT_ONCE = 256
"""Number of images between two reports of progress."""


@dataclass(frozen=True)
class Window:
    """A window that moves over an image with the positions of a layer.

    Attributes
    ----------
    size : (int, int)
        Height and width in pixels.
    corner : (float, float)
        Row and column of the upper left corner at the layer's first position, in pixels; may be negative.
    stride : (float, float)
        Distance between the windows of adjacent positions, in pixels.
    image : (int, int)
        Height and width of the image in pixels.
    grid : (int, int)
        Rows and columns of the layer's map.
    """

    size: Size
    corner: tuple[float, float]
    stride: tuple[float, float]
    image: Size
    grid: Size

    def boxes(self, positions: ArrayLike) -> NDArray[np.int64]:
        """The windows of positions, in whole pixels. Those that would leave the image are shifted inside, not shrunk.

        Parameters
        ----------
        positions : array-like (P, 2) of int
            Row and column in the layer's map.

        Returns
        -------
        numpy.ndarray (P, 4)
            Top, bottom, left, right; half-open.

        Raises
        ------
        InvalidParameter
            For positions outside the map.
        """
        places = array_like("positions", positions, kinds="iu", allowed="an array (P, 2) of integers")
        if places.ndim != 2 or places.shape[1] != 2:
            raise InvalidParameter(
                "positions", allowed="shape (P, 2)", received=said(f"shape {places.shape}"), fix="Give row and column."
            )
        if ((places < 0) | (places >= np.array(self.grid))).any():
            wrong = places[((places < 0) | (places >= np.array(self.grid))).any(axis=1)][0]
            raise InvalidParameter(
                "positions",
                allowed=f"rows below {self.grid[0]} and columns below {self.grid[1]}",
                received=said(f"row {wrong[0]}, column {wrong[1]}"),
                fix="Take the positions of the layer that the window belongs to.",
            )
        size, image = np.array(self.size), np.array(self.image)
        start = np.floor(np.array(self.corner) + places * np.array(self.stride) + 0.5).astype(np.int64)
        start = np.clip(start, 0, image - size)
        stop = start + size
        return np.stack([start[:, 0], stop[:, 0], start[:, 1], stop[:, 1]], axis=1)


def window(network: Network, layer: str, *, size: Size | None = None, mass: float = MASS) -> Window:
    """The window of a layer's positions: the smallest centred square that contains most of the gradient.

    The receptive field of a position (`phosphene.receptive_field`) is much larger than the region that it mostly depends on, the
    effective receptive field (Luo et al. 2016). The gradient of the central position is measured on noise images, and the window
    is centred on its centre of mass: a convolution of stride 2 with padding on both sides is centred half a pixel up and left of
    the middle of its output position, and after three such layers the shift is nearly half a position.

    Parameters
    ----------
    network : Network
    layer : str
        A layer with rows and columns, or with tokens. For a layer without positions, or with a gradient of zero, the window is
        the whole image.
    size : (int, int), optional
        Height and width of the image in pixels (default: the network's native input size).
    mass : float, default 0.9
        Share of the gradient that the window contains, in (0, 1]; 1 gives the receptive field.

    Returns
    -------
    Window

    Raises
    ------
    UnknownLayer
        When the network has no such layer.
    InvalidParameter
        For attention maps, token windows and other layers whose axes are not positions, and for an invalid `mass`.
    """
    share("mass", mass, zero=False, example=MASS)
    known = a_network(network).layers[layer]
    image = canvas_size(network, size)
    with network.scope():
        shape = tuple(network.shapes(image)[layer])
    places = places_of(known, shape or (1,))
    grid = places.rows, places.columns
    whole = Window(image, (0.0, 0.0), (0.0, 0.0), image, grid)
    # Tokens that are not patches form a single row; where they lie in the image is not known.
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
    """The total stride of a network, in pixels: that of its coarsest layer with rows and columns.

    Parameters
    ----------
    network : Network
    size : (int, int), optional
        Height and width of the image in pixels (default: the network's native input size).

    Returns
    -------
    (int, int)
        Vertical and horizontal stride; 1 if no layer has rows and columns.
    """
    image = size or network.input.size
    with network.scope():
        shapes = network.shapes(image)
    rows, columns = image
    for path, layer in network.layers.items():
        if layer.axes not in (("row", "column", "channel"), ("token", "channel")):
            continue
        places = places_of(layer, tuple(shapes[path]))
        # A single row or column is the result of pooling, not a map.
        if places.rows > 1 and places.columns > 1:
            rows, columns = min(rows, places.rows), min(columns, places.columns)
    return max(1, round(image[0] / rows)), max(1, round(image[1] / columns))


def _held(shares: Floats, mass: float) -> tuple[tuple[float, float], Size]:
    """Centre of mass, and size of the smallest square around it (at most the image's size) that contains `mass`."""
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


def cut_patches(
    network: Network,
    source: Source,
    images: ArrayLike,
    boxes: ArrayLike,
    size: Size | None = None,
    *,
    executor: Executor | None = None,
    tell: Callable[[int], bool | None] | None = None,
) -> NDArray[np.uint8]:
    """Cut boxes out of images. Each image is read once, in ascending order, and only one is held in memory.

    Parameters
    ----------
    network : Network
        The network whose input the images are.
    source : Source
    images : array-like (P,) of int
        Number of the image of each patch, in any order.
    boxes : array-like (P, 4) of int
        Top, bottom, left, right in pixels, half-open and inside the image, for example from `Window.boxes`.
    size : (int, int), optional
        Height and width to which patches are resized (default: that of the boxes, which must then be equal for all).
    executor : concurrent.futures.Executor, optional
        Reads and decodes the images.
    tell : callable, optional
        Called from time to time with the number of images done.

    Returns
    -------
    numpy.ndarray (P, height, width, C) uint8

    Raises
    ------
    InvalidParameter
        For empty boxes and boxes outside the image.
    CorruptFile, InvalidImages
        For an image that cannot be read, or that does not fit the network.
    MissingDependency
        When Pillow is not installed and a patch has to be resized.
    """
    spec = network.input
    wanted, corners = np.asarray(images, np.int64), np.asarray(boxes, np.int64).reshape(-1, 4)
    top, bottom, left, right = corners.T
    bad = (top < 0) | (left < 0) | (bottom > spec.size[0]) | (right > spec.size[1]) | (top >= bottom) | (left >= right)
    if len(wanted) != len(corners) or bad.any():
        raise InvalidParameter(
            "boxes",
            allowed=f"one box for each patch ({len(wanted)} in all) inside the image of {spec.size[0]} x {spec.size[1]} pixels",
            received=said(str(corners[bad][0].tolist()) if bad.any() else f"{len(corners)}"),
            fix="Give each box as (top, bottom, left, right), with top < bottom and left < right.",
        )
    shape = size or (int((bottom - top).max(initial=1)), int((right - left).max(initial=1)))
    found = np.empty((len(wanted), *shape, spec.channels), np.uint8)
    order = np.argsort(wanted, kind="stable")
    numbers, starts = np.unique(wanted[order], return_index=True)
    runs = np.split(order, starts[1:])
    pictures = picked(source, numbers.tolist(), spec.size, spec.channels, executor=executor)
    for done, (picture, run) in enumerate(zip(pictures, runs, strict=True), 1):
        pixels = np.round(picture * 255).clip(0, 255).astype(np.uint8)
        for row in run:
            found[row] = resized(pixels[top[row] : bottom[row], left[row] : right[row]], shape)
        if tell is not None and (done % AT_ONCE == 0 or done == len(numbers)):
            tell(done)
    return found


def resized(picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """A picture ``(H, W, C)`` resized by bicubic interpolation; the picture itself if it has this size."""
    if picture.shape[:2] == tuple(size):
        return picture
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency("pillow", "demo") from error
    # Channel by channel, since Pillow supports only one, three or four channels.
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(picture[..., channel])).resize(
                (size[1], size[0]), Image.Resampling.BICUBIC
            )
        )
        for channel in range(picture.shape[-1])
    ]
    return np.stack(planes, axis=-1)
