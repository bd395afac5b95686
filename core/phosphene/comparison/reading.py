"""The same images for networks of different sizes, and their layers as one vector an image, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import ImagesLike, activations
from phosphene.arrays import filled
from phosphene.backend import Network
from phosphene.collecting import batch_by_memory
from phosphene.data.places import FileSource
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streaming import stream
from phosphene.errors import InvalidParameter
from phosphene.feature_maps import on_grid
from phosphene.layers import OUTPUT, Layer
from phosphene.maps import upsample
from phosphene.types import Floats, Size

__all__ = ["blocks", "default_layers", "sources_for"]

BLOCK = 256
"""Images whose products are held at a time, at most."""

MOST_LAYERS = 12
"""Layers that are taken where none are named: more make no picture."""

WIDEST = 1 / 3
"""Share of all layers that may lie between two that are taken; where it is more, modules within modules are taken too."""


def default_layers(network: Network) -> tuple[str, ...]:
    """Layers from the input to the output, evenly spaced: of the outermost modules that cover the way."""
    usable = [layer for layer in network.layers.values() if layer.path != OUTPUT and _averages(layer)]
    if not usable:
        return (OUTPUT,)
    depths = sorted({layer.path.count(".") for layer in usable})
    for depth in depths:
        places = [place for place, layer in enumerate(usable) if layer.path.count(".") <= depth]
        if np.diff([-1, *places, len(usable)]).max() <= max(1.0, WIDEST * len(usable)):
            break
    chosen = np.linspace(0, len(places) - 1, min(MOST_LAYERS, len(places))).round().astype(int)
    return tuple(usable[places[index]].path for index in chosen)


def sources_for(images: ImagesLike, networks: Sequence[Network]) -> list[Source]:
    """A source for each network, of the same images; files at its own size, anything else at one size for all of them.

    Raises
    ------
    InvalidParameter
        For what can be gone through only once.
    """
    if not isinstance(images, Source) and not hasattr(images, "__len__") and hasattr(images, "__iter__"):
        raise InvalidParameter(
            "images", allowed="images that can be gone through for each network", received=images, fix="list(images)"
        )
    specs = [network.input for network in networks]
    # Crops of a photograph depend on the size at which they are cut: they are cut once, for the largest, and resized.
    largest = max((spec.size for spec in specs), key=lambda size: size[0] * size[1])
    files = isinstance(source_of(images, largest, specs[0].channels), FileSource)
    return [source_of(images, spec.size if files else largest, spec.channels) for spec in specs]


def blocks(network: Network, source: Source, layers: Sequence[str]) -> Iterator[list[Floats]]:
    """Vectors ``(n, C)`` of each layer for blocks of about equal n, at most `BLOCK`, in the order of the images."""
    spec, total = network.input, len(source)
    length = -(-total // -(-total // BLOCK))
    batch = min(batch_by_memory(network, layers), length)
    unique = tuple(dict.fromkeys(layers))
    kept: dict[str, Floats] = {}
    for whole, _ in stream(source, None, spec.channels, batch):
        images = resized(whole, spec.size)
        for path, value in activations(network, filled(images, batch), unique, batch=batch).items():
            part = _averaged(value[: len(images)], network.layers[path])
            kept[path] = np.concatenate([kept[path], part]) if path in kept else part
        while len(kept[unique[0]]) >= length:
            yield [kept[path][:length] for path in layers]
            kept = {path: value[length:] for path, value in kept.items()}
    if kept and len(kept[unique[0]]):
        yield [kept[path] for path in layers]


def resized(images: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Images ``(N, H, W, C)`` in [0, 1] at `size`, colour by colour."""
    if images.shape[1:3] == tuple(size):
        return images
    planes = [upsample(images[..., colour], size) for colour in range(images.shape[-1])]
    return np.clip(np.stack(planes, axis=-1), 0.0, 1.0)


def _averages(layer: Layer) -> bool:
    return layer.windows == 1 and layer.axes in (("channel",), ("token", "channel"), ("row", "column", "channel"))


def _averaged(value: NDArray[Any], layer: Layer) -> Floats:
    cells = on_grid(value, layer) if layer.spatial else value
    return np.asarray(cells.reshape(len(cells), -1, cells.shape[-1]).mean(axis=1, dtype=np.float64))
