"""The receptive field of a position: measured, by where a gradient arrives, not computed from kernel sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.types import Array, Floats, Size, Tree

__all__ = ["extent", "influence", "receptive_field"]

IMAGES = 4
"""On which it is measured, so that a pixel that is seen shows in one of them."""


@dataclass(frozen=True)
class Reach:
    """``(weights, images, signs (N, C)) -> |gradient| of the image`` of one position, all channels mixed by signs."""

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
    """Height and width in pixels of what the central position of a layer depends on.

    Measured: the extent of the image's gradient for noise, over all channels at once. A pixel that only dead units see may be
    missed; where a layer has no positions, or looks at everything, it is the whole image.

    Parameters
    ----------
    network : Network
    layer : str
    size : (int, int), optional
        Of the image; the network's own when absent.

    Returns
    -------
    (int, int)
    """
    rows, columns = extent(network, layer, size or network.input.size)
    return rows[1] - rows[0], columns[1] - columns[0]


def extent(
    network: Network, layer: str, size: Size, *, images: int = IMAGES
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First row and the one behind the last, and so the columns, of what the central position of a layer depends on.

    Parameters
    ----------
    network : Network
    layer : str
    size : (int, int)
        Of the image.
    images : int, default 4
        Of noise, on which it is measured.

    Returns
    -------
    ((int, int), (int, int))
        Those of the whole image where the layer has no positions.
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
    """How much each pixel moves a position of a layer: the mean absolute gradient for noise, all channels mixed at random.

    Parameters
    ----------
    network : Network
    layer : str
    size : (int, int)
        Of the image.
    position : tuple of int
        In the layer.
    images : int, default 4
        Of noise, on which it is measured.

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
