"""`feature_maps`: where in an image the channels of a layer are active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.channel_maps.result import FeatureMaps
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.errors import InvalidParameter, said
from phosphene.extraction.call import activations
from phosphene.kit.checks import LARGEST_INTEGER, a_network, choice, integer, integers, names, text
from phosphene.layers import Layer

__all__ = ["feature_maps", "has_positions", "on_grid"]

AGGREGATES = ("mean", "max")


def feature_maps(
    network: Network,
    images: ImagesLike,
    layer: str,
    *,
    channels: int | Sequence[int] | None = None,
    strongest: int | None = None,
    aggregate: str | Sequence[str] = (),
) -> FeatureMaps:
    """Compute the feature maps of a layer on images.

    Parameters
    ----------
    network : Network
    images : images
        Anything that `phosphene.images` takes.
    layer : str
        Path of a layer with positions, on any number of axes. Patch tokens are arranged in their rows and columns.
    channels : int or sequence of int, optional
        Channels to show (default: all).
    strongest : int, optional
        Show this many channels, those with the largest mean over positions and images, in place of `channels`.
    aggregate : {"mean", "max"} or sequence of them, optional
        Show the mean or maximum over all channels at each position, in place of single channels.

    Returns
    -------
    FeatureMaps

    Raises
    ------
    UnknownLayer
        For a path that is not a layer of the network.
    InvalidParameter
        For a layer without positions, and for channels that the layer does not have.
    InvalidImages
        For images of the wrong shape, dtype or range.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite. They are drawn as gaps, and left out of a mean and a maximum.
    """
    text("layer", layer, fix="net.layers lists the paths of all layers.")
    own = a_network(network).layers[layer]
    fix = 'For example aggregate="mean", or both: aggregate=("mean", "max").'
    wanted = names("aggregate", aggregate, fix=fix)
    for name in wanted:
        choice("aggregate", name, AGGREGATES, fix=fix)
    if strongest is not None:
        strongest = integer("strongest", strongest, minimum=1)
    chosen = None if channels is None else _channels(layer, channels, own.channels)
    pictures = read_images(images, network.input)
    found = on_grid(activations(network, pictures, layer)[layer], own)
    count = found.shape[-1]
    if wanted:
        # A channel that is not finite would spread over the whole map; `activations` has warned of it.
        valid = np.isfinite(found)
        reduced = [
            (np.where(valid, found, 0).sum(axis=-1) / np.maximum(valid.sum(axis=-1), 1))
            if name == "mean"
            else np.where(valid, found, -np.inf).max(axis=-1)
            for name in wanted
        ]
        reduced = [np.where(valid.any(axis=-1), each, np.nan) for each in reduced]
        titles = tuple({"mean": "mean", "max": "maximum"}[name] for name in wanted)
        label = f"{layer}, over its {count} channels"
        return FeatureMaps(pictures, np.stack(reduced, axis=1).astype(np.float32), titles, label, aggregated=True)
    if strongest is not None:
        strongest = min(strongest, count)
        means = np.nan_to_num(found.reshape(-1, count).mean(axis=0), nan=-np.inf, posinf=-np.inf)
        chosen = [int(index) for index in np.argsort(-means, kind="stable")[:strongest]]
    if chosen is None:
        chosen = list(range(count))
    maps = np.moveaxis(found[..., chosen], -1, 1)
    return FeatureMaps(pictures, maps.astype(np.float32), tuple(f"channel {channel}" for channel in chosen), layer)


def _channels(layer: str, channels: Any, count: int) -> list[int]:
    """Check channels of a layer, of which there are `count`."""
    fix = f"{layer} has {count} channels; leave channels out to show all of them."
    chosen = list(integers("channels", channels, minimum=-LARGEST_INTEGER, fix=fix))
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise InvalidParameter(
            "channels", allowed=f"at least one channel from 0 to {count - 1}", received=channels, fix=fix
        )
    return chosen


def on_grid(activation: NDArray[np.floating], layer: Layer) -> NDArray[np.floating]:
    """Arrange an activation by position: ``(N, ..., C)`` with the axes of the layer, ``(N, h, w, C)`` for patch tokens.

    Raises
    ------
    InvalidParameter
        For a layer without positions, for attention maps and for windows.
    """
    tokens = layer.tokens
    if layer.axes == ("token", "channel") and tokens is not None and activation.shape[1] == tokens.count:
        patches = activation[:, len(tokens.prefix) :]
        return patches.reshape(len(patches), *tokens.grid, patches.shape[-1])
    if not has_positions(layer):
        raise InvalidParameter(
            "layer",
            allowed="a layer with positions",
            received=said(f"{layer.path!r}, whose axes are {', '.join(layer.axes)}"),
            fix="Attention maps and windows are not arranged by position: choose the layer before or after them."
            if layer.spatial
            else "Choose an earlier layer; net.layers shows the shapes.",
        )
    return activation


def has_positions(layer: Layer) -> bool:
    """Whether a layer has channels at positions, on any number of axes; attention maps and windows have not."""
    return layer.spatial and layer.windows == 1 and layer.axes[-1] == "channel"
