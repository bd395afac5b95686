"""The same images for networks of different input sizes, and layers as one vector per image, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.channel_maps.call import has_positions, on_grid
from phosphene.data.declaration import Images, ImagesLike
from phosphene.data.digests import Digests
from phosphene.data.locations import CropSource
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import stream
from phosphene.errors import InvalidParameter
from phosphene.extraction.call import read_layers
from phosphene.kit.finite import NotFinite, mean_over_positions, without_gaps
from phosphene.kit.maps import upsample
from phosphene.kit.memory import batch_by_memory
from phosphene.layers import OUTPUT, Layer
from phosphene.types import Floats, Size

__all__ = ["blocks", "default_layers", "sources_for"]

BLOCK = 256
"""Largest number of images per block, whose pairwise products are held in memory."""

MOST_LAYERS = 12
"""Largest number of layers that are compared by default; more are hard to read in a figure."""

WIDEST = 1 / 3
"""Largest gap between two default layers, as a share of all layers; if it is larger, nested modules are included."""


def default_layers(network: Network) -> tuple[str, ...]:
    """Choose layers evenly spaced from the input to the output, among the outermost modules that leave no wide gap."""
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
    """Make a source of the same images for each network: files at its own input size, anything else at one common size.

    Raises
    ------
    InvalidParameter
        For an iterator, which allows only one pass.
    """
    specs = [network.input for network in networks]
    given = images.given if isinstance(images, Images) else images
    if isinstance(given, Iterator) or (isinstance(given, Source) and given.once):
        raise InvalidParameter(
            "images",
            allowed="images that can be read once per network",
            received=images,
            fix="Make a list of them: list(images).",
        )
    found = [source_of(images, spec) for spec in specs]
    if not isinstance(found[0], CropSource):
        return found
    # Crops depend on the size at which they are cut: they are cut at the largest size, and resized.
    largest = max((spec.size for spec in specs), key=lambda size: size[0] * size[1])
    return [source_of(images, spec, size=largest) for spec in specs]


def blocks(
    network: Network,
    source: Source,
    layers: Sequence[str],
    finite: NotFinite | None = None,
    digests: Digests | None = None,
) -> Iterator[list[Floats]]:
    """Yield vectors ``(n, C)`` of each layer in the order of the images, for blocks of about equal n, at most `BLOCK`.

    `finite` counts values that are NaN or infinite; the mean of the channel in the block stands in their place. `digests` takes
    those of the images.
    """
    spec, total = network.input, len(source)
    length = -(-total // -(-total // BLOCK))
    batch = min(batch_by_memory(network, layers), length)
    unique = tuple(dict.fromkeys(layers))
    kept: dict[str, Floats] = {}
    for whole, _ in stream(source, None, spec.channels, batch, seen=digests):
        images = resized(whole, spec.size)
        for path, value in read_layers(network, images, unique, batch, finite).items():
            part = _averaged(value, network.layers[path])
            kept[path] = np.concatenate([kept[path], part]) if path in kept else part
        while len(kept[unique[0]]) >= length:
            yield [without_gaps(kept[path][:length]) for path in layers]
            kept = {path: value[length:] for path, value in kept.items()}
    if kept and len(kept[unique[0]]):
        yield [without_gaps(kept[path]) for path in layers]


def resized(images: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Resize images ``(N, H, W, C)`` in [0, 1] bilinearly, channel by channel."""
    if images.shape[1:3] == tuple(size):
        return images
    planes = [upsample(images[..., colour], size) for colour in range(images.shape[-1])]
    return np.clip(np.stack(planes, axis=-1), 0.0, 1.0)


def _averages(layer: Layer) -> bool:
    return has_positions(layer) or layer.axes == ("channel",)


def _averaged(value: NDArray[Any], layer: Layer) -> Floats:
    cells = on_grid(value, layer) if layer.spatial else value
    return mean_over_positions(cells)
