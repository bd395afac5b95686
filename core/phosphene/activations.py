"""`activations`: read layers for images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter
from phosphene.images import check_images
from phosphene.types import Array, Tree

__all__ = ["activations"]


@dataclass(frozen=True)
class Reading:
    """``(weights, images) -> activations`` for `Backend.run`; equal readings share a compiled program."""

    network: Network
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array) -> dict[str, Array]:
        xp = self.network.backend.xp
        if self.network.dtype in ("bfloat16", "float16"):
            images = xp.astype(images, getattr(xp, self.network.dtype))
        return self.network.forward(images, self.layers, weights=weights)


def activations(
    network: Network, images: ArrayLike, layers: str | Sequence[str], *, batch: int = 32
) -> dict[str, NDArray[np.floating]]:
    """Activations of layers for images in memory.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    layers : str or sequence of str
        Paths; ``net.layers`` lists them.
    batch : int, default 32
        Images at a time.

    Returns
    -------
    dict of str to numpy.ndarray
        Path to float32 (float64 for a float64 network) activation, channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or
        ``(N, C)``.

    Raises
    ------
    UnknownLayer
        For a path the network does not have.
    InvalidImages
        For images of the wrong shape, dtype or range.
    """
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    if not paths:
        raise InvalidParameter("layers", allowed="at least one layer", received=layers, fix="net.layers lists them.")
    for path in paths:
        network.layers[path]
    array = check_images(images, network.input)
    batch = min(integer("batch", batch, minimum=1), len(array))
    backend = network.backend
    parts: list[dict[str, NDArray[np.floating]]] = []
    with network.scope():
        weights = network.weights()
        for start in range(0, len(array), batch):
            rows = array[start : start + batch]
            # A last batch of another size would compile once more: it is filled up, and the filling dropped.
            filled = (
                rows if len(rows) == batch else np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])
            )
            read = backend.run(Reading(network, paths), weights, native(network, filled))
            parts.append({path: backend.to_numpy(value)[: len(rows)] for path, value in read.items()})
    return {path: np.concatenate([part[path] for part in parts]) for path in paths}
