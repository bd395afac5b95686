"""Positions of layers: rows and columns, patches, volumes and sequences, and the pixels that belong to them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import Task
from phosphene.attribution.programs import Activation
from phosphene.backend import Network
from phosphene.draws import generator
from phosphene.kit.maps import upsample
from phosphene.layers import Layer, Tokens
from phosphene.types import Floats, Size

__all__ = ["GRID", "PATCHES", "SEQUENCE", "VOLUME", "positions_of", "spread_sequence", "spread_volume", "tokens_at"]

GRID, PATCHES, VOLUME, SEQUENCE = "rows and columns", "patches", "volume", "sequence"
"""What the positions of a layer are; a sequence are positions on one axis that are not known to be patches."""

BANDS = 32
"""Largest number of bands of rows, and of columns, that are changed one at a time to find the pixels of a sequence."""


def positions_of(network: Network, path: str, size: Size) -> str:
    """What the positions of a layer are for images of `size`; an empty string for a layer without positions.

    Attention maps, windows and tokens that are split into heads have axes, but no positions.
    """
    layer, shape = network.layers[path], network.shapes(size)[path]
    if layer.kind == "Attention" or layer.windows > 1 or len(shape) < 2:
        return ""
    if len(shape) == 2:
        return PATCHES if tokens_at(network, path, size) is not None else SEQUENCE
    if len(shape) == 3:
        return "" if _in_heads(network, layer) else GRID
    return VOLUME


def tokens_at(network: Network, path: str, size: Size) -> Tokens | None:
    """The meaning of a layer's tokens for images of `size`; their grid grows with the image."""
    tokens, shape = network.layers[path].tokens, network.shapes(size)[path]
    if tokens is None or len(shape) != 2 or shape[0] == tokens.count:
        return tokens if len(shape) == 2 else None
    grid = (tokens.grid[0] * size[0] / network.input.size[0], tokens.grid[1] * size[1] / network.input.size[1])
    scaled = replace(tokens, grid=(round(grid[0]), round(grid[1])))
    return scaled if scaled.count == shape[0] else None


def spread_volume(raw: NDArray[np.floating]) -> NDArray[np.floating]:
    """Sum a map ``(N, depth, rows, columns)`` over its depth; of more axes the last two are rows and columns."""
    result: NDArray[np.floating] = raw.sum(axis=tuple(range(1, raw.ndim - 2)))
    return result


def spread_sequence(task: Task, path: str, raw: NDArray[np.floating]) -> NDArray[np.float32]:
    """Lay the values of a sequence ``(N, T)`` on the pixels that its positions depend on, ``(N, H, W)``.

    Bands of rows, and bands of columns, of the first image are replaced by noise, one at a time. A position belongs to the rows
    and the columns whose replacement changes it most: time steps that are rows of the image have rows of their own and all
    columns alike, steps along a line of text have columns, and patches have both. The value of a pixel is the mean over all
    positions, weighted by the squares of these changes.
    """
    height, width = task.images.shape[1:3]
    noise = generator(0, "positions").random(task.images.shape[1:]).astype(np.float32)
    copies = [task.images[0]]
    for axis, side in ((0, height), (1, width)):
        for band in np.array_split(np.arange(side), min(side, BANDS)):
            copy = task.images[0].copy()
            chosen = (band, slice(None)) if axis == 0 else (slice(None), band)
            copy[chosen] = noise[chosen]
            copies.append(copy)
    values = task.run(Activation(task.network, path), np.stack(copies), np.zeros(len(copies), np.int64))[0]
    changes = np.square(np.linalg.norm(values[1:].astype(np.float64) - values[:1], axis=-1))
    by_row, by_column = (_shares(part) for part in np.split(changes, [min(height, BANDS)]))
    weight = by_row @ by_column.T
    sums = np.einsum("rt,nt,ct->nrc", by_row, raw, by_column, optimize=True)
    return upsample(sums / np.where(weight > 0, weight, 1), (height, width))


def _shares(changes: Floats) -> Floats:
    """Changes ``(bands, T)`` as each position's shares, which sum to 1; zero for a position that nothing changes."""
    total = changes.sum(axis=0, keepdims=True)
    shares: Floats = changes / np.where(total > 0, total, 1)
    return shares


def _in_heads(network: Network, layer: Layer) -> bool:
    """Whether a layer of three axes holds tokens that are split into heads: an earlier layer has as many tokens.

    Convolutions have rows and columns, and so has a layer with as many of both as a convolution before it.
    """
    before = list(itertools.takewhile(lambda other: other.path != layer.path, network.layers.values()))
    if any("Conv" in other.kind and other.shape[:-1] == layer.shape[:-1] for other in (*before, layer)):
        return False
    count = int(np.prod(layer.shape))
    for other in before:
        tokens = other.axes == ("token", "channel") and other.shape[0] in layer.shape[:2]
        if tokens and (other.tokens is not None or int(np.prod(other.shape)) == count):
            return True
    return False
