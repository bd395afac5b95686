"""What is explained, and where: a target for each image, and the layer of a map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import activations
from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.layers import OUTPUT, Layer
from phosphene.objectives import Bound, logit, target_objective
from phosphene.objectives.forms import Form

__all__ = ["bind_targets", "layer_for"]

POSITIONS = ("row", "column")


def bind_targets(network: Network, images: NDArray[np.float32], target: Any, batch: int) -> list[Bound]:
    """One bound objective an image; each image's own strongest class where no target is given."""
    shapes = network.shapes((images.shape[1], images.shape[2]))
    if target is None:
        logit(0).bind(network, shapes)  # raises where there is no output
        target = _strongest(network, images, batch)
    wanted = list(target) if isinstance(target, (list, tuple, np.ndarray, range)) else [target] * len(images)
    if len(wanted) != len(images):
        raise InvalidParameter(
            "target", allowed=f"one target, or {len(images)}: one an image", received=target,
            fix=f"{len(wanted)} were given.",
        )  # fmt: skip
    return [target_objective(item).bind(network, shapes) for item in wanted]


def layer_for(
    network: Network, form: Form, given: str | None, method: str, arrived: Callable[[Sequence[str]], NDArray[Any]]
) -> str:
    """The layer of a map: as given, or the last before what the target reads that has rows and columns, or patches.

    Behind the last rows and columns, a transformer's tokens are its positions. Its last block often hands on the class token
    alone, so that a map of its patches would be empty: the last layer is taken at whose patches a gradient arrives. Projections
    inside an attention (queries, keys, values) are passed over.

    Parameters
    ----------
    arrived : callable
        Paths to how much gradient of the target arrives at each.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For a layer that is not there, has no positions, or comes after the target.
    """
    order = list(network.layers)
    end = order.index(network.layers.last(form.layers))
    if given is None:
        before = [network.layers[path] for path in order[:end]]
        fitting = [layer.path for layer in before if _rows(network, layer)]
        behind = before[order.index(fitting[-1]) + 1 :] if fitting else before
        tokens = [layer.path for layer in behind if _patches(layer) and "Linear" not in layer.kind]
        if tokens:
            reached = np.flatnonzero(np.asarray(arrived(tokens)) > 0)
            fitting += [tokens[index] for index in reached[-1:]]
        if not fitting:
            raise InvalidParameter(
                "layer", allowed="a layer with positions", received=given,
                fix=f"{network.name} has none with rows and columns before {order[end]!r}; name a layer of tokens.",
            )  # fmt: skip
        return fitting[-1]
    layer = network.layers[given]
    if not (_rows(network, layer) or _patches(layer)):
        raise InvalidParameter(
            "layer", allowed=f"a layer with positions, for {method}",
            received=said(
                f"{given}, of tokens in heads" if layer.axes[:2] == POSITIONS else
                f"{given}, whose axes are {', '.join(layer.axes)}"
            ),
            fix="Which of its tokens are patches is not known: state it with ph.wrap(..., tokens=('class',))."
            if layer.axes == ("token", "channel")
            else "A map needs rows and columns: take an earlier layer.",
        )  # fmt: skip
    if order.index(given) > end:
        raise InvalidObjective(
            "layer", allowed=f"a layer that comes before {order[end]!r}, which the target reads", received=given,
            fix="What comes later has no part in it.",
        )  # fmt: skip
    return given


def _rows(network: Network, layer: Layer) -> bool:
    """Whether a layer has rows and columns; what a transformer splits into heads (tokens, heads, width) only looks so."""
    if layer.axes[:2] != POSITIONS:
        return False
    before = itertools.takewhile(lambda other: other.path != layer.path, network.layers.values())
    return not any(_patches(other) and other.shape[0] in layer.shape[:2] for other in before)


def _patches(layer: Layer) -> bool:
    return layer.axes == ("token", "channel") and layer.tokens is not None


def _strongest(network: Network, images: NDArray[np.float32], batch: int) -> list[int]:
    """Each image's class of the largest logit, averaged over positions where the output has some."""
    output = activations(network, images, OUTPUT, batch=batch)[OUTPUT]
    return [int(index) for index in output.reshape(len(output), -1, output.shape[-1]).mean(axis=1).argmax(axis=-1)]
