"""`feature_maps`: where in an image the channels of a layer are active."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import Network
from phosphene.channel_maps.result import FeatureMaps
from phosphene.errors import InvalidParameter, said
from phosphene.extraction.call import activations
from phosphene.kit.checks import choice, integer
from phosphene.kit.images import check_images
from phosphene.layers import Layer

__all__ = ["feature_maps", "has_positions", "on_grid"]

AGGREGATES = ("mean", "max")


def feature_maps(
    network: Network,
    images: ArrayLike,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    strongest: int | None = None,
    aggregate: str | Sequence[str] = (),
) -> FeatureMaps:
    """Compute the feature maps of a layer on images.

    Parameters
    ----------
    network : Network
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    layer : str
        Path of a layer with positions, on any number of axes. Patch tokens are arranged in their rows and columns.
    channels : sequence of int, optional
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
    pictures = check_images(images, network.input)
    found = on_grid(activations(network, pictures, layer)[layer], network.layers[layer])
    count = found.shape[-1]
    wanted = (aggregate,) if isinstance(aggregate, str) else tuple(aggregate)
    if wanted:
        for name in wanted:
            choice(
                "aggregate", name, AGGREGATES, fix='For example aggregate="mean", or both: aggregate=("mean", "max").'
            )
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
        strongest = min(integer("strongest", strongest, minimum=1), count)
        means = np.nan_to_num(found.reshape(-1, count).mean(axis=0), nan=-np.inf, posinf=-np.inf)
        channels = [int(index) for index in np.argsort(-means, kind="stable")[:strongest]]
    chosen = list(range(count)) if channels is None else [int(channel) for channel in channels]
    if not chosen or any(not 0 <= channel < count for channel in chosen):
        raise InvalidParameter(
            "channels",
            allowed=f"at least one channel from 0 to {count - 1}",
            received=channels,
            fix=f"{layer} has {count} channels; leave channels out to show all of them.",
        )
    maps = np.moveaxis(found[..., chosen], -1, 1)
    return FeatureMaps(pictures, maps.astype(np.float32), tuple(f"channel {channel}" for channel in chosen), layer)


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
