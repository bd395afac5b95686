"""What is explained: the target of each image, and the layer of a class activation map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.extraction.call import activations
from phosphene.kit.checks import one_per
from phosphene.layers import OUTPUT, Layer
from phosphene.objectives import Bound, logit, target_objective
from phosphene.objectives.forms import Form

__all__ = ["bind_targets", "layer_for"]

POSITIONS = ("row", "column")


def bind_targets(network: Network, images: NDArray[np.float32], target: Any, batch: int) -> list[Bound]:
    """Bind one objective per image (default: the predicted class of each image)."""
    shapes = network.shapes((images.shape[1], images.shape[2]))
    if target is None:
        logit(0).bind(network, shapes)  # raises for a network without an output
        target = _strongest(network, images, batch)
    wanted = list(target) if isinstance(target, (list, tuple, np.ndarray, range)) else [target] * len(images)
    one_per("target", wanted, len(images), "image")
    return [target_objective(item).bind(network, shapes) for item in wanted]


def layer_for(
    network: Network,
    form: Form,
    given: str | None,
    method: str,
    gradient_sizes: Callable[[Sequence[str]], NDArray[Any]],
) -> str:
    """Choose the layer of a class activation map (default: the last layer with positions before the target).

    In a transformer the positions are its patch tokens. Often only the class token leaves the last block, so that a map of its
    patches would be empty; the default is therefore the last layer at whose patches the target has a gradient. Projections
    inside an attention (queries, keys, values) are skipped.

    Parameters
    ----------
    network : Network
    form : Form
        The form of the target.
    given : str or None
        The layer that the user named.
    method : str
        Name of the method, for messages.
    gradient_sizes : callable
        From paths to the size of the target's gradient at each.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that the network does not have, that has no positions, or that comes after the target.
    """
    order = list(network.layers)
    end = order.index(network.layers.last(form.layers))
    if given is None:
        before = [network.layers[path] for path in order[:end]]
        fitting = [layer.path for layer in before if _rows(network, layer)]
        behind = before[order.index(fitting[-1]) + 1 :] if fitting else before
        tokens = [layer.path for layer in behind if _patches(layer) and "Linear" not in layer.kind]
        if tokens:
            reached = np.flatnonzero(np.asarray(gradient_sizes(tokens)) > 0)
            fitting += [tokens[index] for index in reached[-1:]]
        if not fitting:
            raise InvalidParameter(
                "layer",
                allowed="a layer with positions",
                received=given,
                fix=f"{network.name} has no layer with rows and columns before {order[end]!r}: name a layer of patch tokens.",
            )
        return fitting[-1]
    layer = network.layers[given]
    if not (_rows(network, layer) or _patches(layer)):
        raise InvalidParameter(
            "layer",
            allowed=f"a layer with positions for method={method!r}",
            received=said(
                f"{given!r}, whose tokens are split into heads"
                if layer.axes[:2] == POSITIONS
                else f"{given!r}, whose axes are {', '.join(layer.axes)}"
            ),
            fix="It is not known which of its tokens are patches: state it with ph.wrap(..., tokens=('class',))."
            if layer.axes == ("token", "channel")
            else "A map needs rows and columns: choose an earlier layer.",
        )
    if order.index(given) > end:
        raise InvalidObjective(
            "layer",
            allowed=f"a layer that comes before {order[end]!r}, which the target reads",
            received=given,
            fix="Later layers do not affect the target: choose an earlier layer.",
        )
    return given


def _rows(network: Network, layer: Layer) -> bool:
    """Whether a layer has rows and columns; tokens that are split into heads have three axes too, but are not positions."""
    if layer.axes[:2] != POSITIONS:
        return False
    before = itertools.takewhile(lambda other: other.path != layer.path, network.layers.values())
    return not any(_patches(other) and other.shape[0] in layer.shape[:2] for other in before)


def _patches(layer: Layer) -> bool:
    return layer.axes == ("token", "channel") and layer.tokens is not None


def _strongest(network: Network, images: NDArray[np.float32], batch: int) -> list[int]:
    """Predicted class of each image: the largest logit, averaged over the positions of a dense output."""
    output = activations(network, images, OUTPUT, batch=batch)[OUTPUT]
    return [int(index) for index in output.reshape(len(output), -1, output.shape[-1]).mean(axis=1).argmax(axis=-1)]
