"""The receptive field of a position, measured from gradients rather than computed from kernel sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phosphene.backend import Network, native
from phosphene.draws import generator
from phosphene.types import Array, Floats, Size, Tree

__all__ = ["extent", "influence", "receptive_field"]

IMAGES = 4
"""Number of noise images; a pixel that matters has a gradient in at least one of them."""


@dataclass(frozen=True)
class Reach:
    """``(weights, images, signs (N, C)) -> |gradient|`` of the image for one position, channels summed with random weights."""

    network: Network
    layer: str
    position: tuple[int, ...]

    def __call__(self, weights: Tree, images: Array, signs: Array) -> Array:
        network, xp = self.network, self.network.backend.xp

        def objective(x: Array) -> tuple[Array, tuple[()]]:
            activation = network.forward(x, [self.layer], weights=weights)[self.layer]
            return xp.sum(activation[(slice(None), *self.position)] * signs), ()

        return xp.abs(network.backend.grad(objective)(images)[0])


def receptive_field(network: Network, layer: str, size: Size | None = None) -> Size:
    """Measure the receptive field of the central position of a layer.

    It is the extent of the gradient of noise images, over all channels at once. Pixels that only reach dead units may be
    missed. For a layer without positions, it is the whole image.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer.
    size : (int, int), optional
        Height and width of the image in pixels (default: the network's native size).

    Returns
    -------
    (int, int)
        Height and width in pixels.
    """
    rows, columns = extent(network, layer, size or network.input.size)
    return rows[1] - rows[0], columns[1] - columns[0]


def extent(
    network: Network, layer: str, size: Size, *, images: int = IMAGES
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and columns of the image on which the central position of a layer depends.

    Parameters
    ----------
    network : Network
    layer : str
        Path of the layer.
    size : (int, int)
        Height and width of the image in pixels.
    images : int, default 4
        Number of noise images on which it is measured.

    Returns
    -------
    ((int, int), (int, int))
        Start and stop of the rows and of the columns; the whole image for a layer without positions.
    """
    whole = (0, size[0]), (0, size[1])
    if not network.layers[layer].spatial:
        return whole
    with network.scope():
        shape = network.shapes(size)[layer]
    seen = influence(network, layer, size, tuple(side // 2 for side in shape[:-1]), images=images) > 0
    if not seen.any():
        return whole
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


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
    with network.scope():
        channels = network.shapes(size)[layer][-1]
        random = generator(0, "receptive field")
        noise = random.random((images, *size, network.input.channels))
        signs = random.standard_normal((images, channels))
        given = native(network, noise), native(network, signs)
        reached = network.backend.run(Reach(network, layer, position), network.weights(), *given)
        found: Floats = network.backend.to_numpy(reached).mean(axis=(0, 3))
    return found
