"""`feature_maps`: which channels of a layer answer to an image, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.activations import activations
from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, said
from phosphene.images import check_images
from phosphene.layers import Layer
from phosphene.results import FeatureMaps

__all__ = ["feature_maps", "on_grid"]

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
    """Feature maps of a layer: chosen ones, the strongest, all, or their mean and maximum.

    Parameters
    ----------
    network : Network
    images : array-like (N, H, W, C) or (H, W, C)
        Floats in [0, 1].
    layer : str
        Path of a layer with positions. Patches that are tokens are put back in their rows and columns.
    channels : sequence of int, optional
        Which channels.
    strongest : int, optional
        The so many channels whose mean over positions and images is largest; without it and without `channels`, all.
    aggregate : "mean", "max" or both, optional
        Instead of channels, their mean or maximum at each position.

    Returns
    -------
    FeatureMaps

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that is not there or has no positions, and for channels that it does not have.
    InvalidImages
        For images of the wrong shape, dtype or range.
    """
    pictures = check_images(images, network.input)
    found = on_grid(activations(network, pictures, layer)[layer], network.layers[layer])
    count = found.shape[-1]
    wanted = (aggregate,) if isinstance(aggregate, str) else tuple(aggregate)
    if wanted:
        for name in wanted:
            if name not in AGGREGATES:
                raise InvalidParameter("aggregate", allowed="'mean' or 'max'", received=name, fix="Or both of them.")
        reduced = [found.mean(axis=-1) if name == "mean" else found.max(axis=-1) for name in wanted]
        titles = tuple({"mean": "mean", "max": "maximum"}[name] for name in wanted)
        label = f"{layer}, over its {count} channels"
        return FeatureMaps(pictures, np.stack(reduced, axis=1).astype(np.float32), titles, label, aggregated=True)
    if strongest is not None:
        strongest = min(integer("strongest", strongest, minimum=1), count)
        means = found.reshape(-1, count).mean(axis=0)
        channels = [int(index) for index in np.argsort(-means, kind="stable")[:strongest]]
    chosen = list(range(count)) if channels is None else [int(channel) for channel in channels]
    if not chosen or any(not 0 <= channel < count for channel in chosen):
        raise InvalidParameter(
            "channels", allowed=f"some of 0 to {count - 1}", received=channels, fix=f"{layer} has {count} channels."
        )
    maps = np.moveaxis(found[..., chosen], -1, 1)
    return FeatureMaps(pictures, maps.astype(np.float32), tuple(f"channel {channel}" for channel in chosen), layer)


def on_grid(activation: NDArray[np.floating], layer: Layer) -> NDArray[np.floating]:
    """An activation with its positions as axes: ``(N, h, w, C)``, or ``(N, T, C)`` where tokens are no patches.

    Raises
    ------
    InvalidParameter
        For a layer without positions, attention maps, and windows.
    """
    tokens = layer.tokens
    if layer.axes == ("token", "channel"):
        if tokens is None or activation.shape[1] != tokens.count:
            return activation
        patches = activation[:, len(tokens.prefix) :]
        return patches.reshape(len(patches), *tokens.grid, patches.shape[-1])
    if layer.axes != ("row", "column", "channel"):
        raise InvalidParameter(
            "layer", allowed="a layer with positions", received=said(f"{layer.path}, whose axes are {', '.join(layer.axes)}"),
            fix="Take an earlier layer; net.layers shows the shapes.",
        )  # fmt: skip
    return activation
