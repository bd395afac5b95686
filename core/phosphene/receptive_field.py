"""The receptive field of a position: measured, by where a gradient arrives, not computed from kernel sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.types import Array, Size, Tree

__all__ = ["receptive_field"]

IMAGES = 4


@dataclass(frozen=True)
class Reach:
    """``(weights, images, signs (N, C)) -> |gradient| of the image`` of the central position, all channels mixed by signs."""

    network: Network
    layer: str

    def __call__(self, weights: Tree, images: Array, signs: Array) -> Array:
        network, xp = self.network, self.network.backend.xp

        def objective(x: Array) -> tuple[Array, tuple[()]]:
            activation = network.forward(x, [self.layer], weights=weights)[self.layer]
            middle = tuple(side // 2 for side in activation.shape[1:-1])
            return xp.sum(activation[(slice(None), *middle)] * signs), ()

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
    canvas = size or network.input.size
    if not network.layers[layer].spatial:
        return canvas
    with network.scope():
        shape = network.shapes(canvas)[layer]
        random = generator(0, "receptive field")
        images = random.random((IMAGES, *canvas, network.input.channels))
        signs = random.standard_normal((IMAGES, shape[-1]))
        given = native(network, images), native(network, signs)
        reached = network.backend.to_numpy(network.backend.run(Reach(network, layer), network.weights(), *given))
    seen = reached.max(axis=(0, 3)) > 0
    if not seen.any():
        return canvas
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
