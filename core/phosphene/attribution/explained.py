"""What is explained: the target of each image, and the layer of a class activation map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.layer_positions import positions_of
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.extraction.call import read_layers
from phosphene.kit.checks import one_per, sequence
from phosphene.layers import OUTPUT
from phosphene.objectives import Bound, Objective, logit
from phosphene.objectives.forms import Form
from phosphene.objectives.location import ShapesAt
from phosphene.objectives.targets import target_objective
from phosphene.types import Size

__all__ = ["bind_targets", "check_layer"]


def bind_targets(network: Network, images: NDArray[np.float32], target: Any, batch: int) -> list[Bound]:
    """Bind one objective per image (default: the predicted class of each image)."""
    shapes = ShapesAt(network, (images.shape[1], images.shape[2]))
    if target is None:
        logit(0).bind(network, shapes)  # raises for a network without an output
        target = _strongest(network, images, batch)
    several = (
        isinstance(target, Iterable) and not isinstance(target, (str, bytes, Mapping, type)) and not callable(target)
    )
    if several and not isinstance(target, Objective) and getattr(target, "ndim", 1) > 0:
        wanted = one_per("target", sequence("target", target, "one target per image"), len(images), "image")
    else:
        wanted = (target,) * len(images)
    return [target_objective(item).bind(network, shapes) for item in wanted]


def check_layer(network: Network, form: Form, given: str, method: str, size: Size) -> str:
    """Check the layer of a class activation map that the user named.

    Parameters
    ----------
    network : Network
    form : Form
        The form of the target.
    given : str
        Path of the layer.
    method : str
        Name of the method, for messages.
    size : (int, int)
        Height and width of the images.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that the network does not have, that has no positions, or that comes after the target.
    """
    order, last = list(network.layers), network.layers.last(form.layers)
    layer = network.layers[given]
    if not positions_of(network, given, size):
        raise InvalidParameter(
            "layer",
            allowed=f"a layer with positions for method={method!r}",
            received=said(
                f"{given!r}, whose tokens are split into heads"
                if layer.axes[:2] == ("row", "column")
                else f"{given!r}, whose axes are {', '.join(layer.axes)}"
            ),
            fix="A map needs rows and columns, patches or other positions: choose an earlier layer.",
        )
    if order.index(given) > order.index(last):
        raise InvalidObjective(
            "layer",
            allowed=f"a layer that comes before {last!r}, which the target reads",
            received=given,
            fix="Later layers do not affect the target: choose an earlier layer.",
        )
    return given


def _strongest(network: Network, images: NDArray[np.float32], batch: int) -> list[int]:
    """Predicted class of each image: the largest logit, averaged over the positions of a dense output."""
    # Values that are not finite are counted with those of the maps.
    output = read_layers(network, images, (OUTPUT,), min(batch, len(images)))[OUTPUT]
    return [int(index) for index in output.reshape(len(output), -1, output.shape[-1]).mean(axis=1).argmax(axis=-1)]
