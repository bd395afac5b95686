"""Responses of a network to real images: values of objectives, of all units of their layers, and of the layers before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import stack_trees
from phosphene.ascent.step import evaluate, read
from phosphene.attribution.evaluation import run_program
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.extraction.call import read_layers
from phosphene.objectives import Bound, Objective
from phosphene.objectives.forms import ChannelForm, DirectionForm, Form, NeuronForm, at_position, position_mean
from phosphene.objectives.location import ShapesAt
from phosphene.types import Array, Floats, Tree

__all__ = ["Responses", "bound_at", "channel_of", "competitors", "path_layers", "real_images", "responses"]

BATCH = 32
MOST_LAYERS = 8
"""Largest number of layers of a path; of more layers, evenly spaced ones are used."""


@dataclass(frozen=True)
class Responses:
    """Responses of a network to N images, for U objectives.

    Attributes
    ----------
    values : (U, N)
        Value of each objective on each image.
    units : mapping to (N, C)
        All channels of a layer, by `competitors`, read as the objective is: as the mean over positions, or at one position.
    path : mapping of str to (N, C)
        Channels of the layers of the path, averaged over positions.
    """

    values: Floats
    units: Mapping[tuple[Form, bytes], Floats]
    path: Mapping[str, Floats]


def responses(
    network: Network, bound: Sequence[Bound], layers: Sequence[str], images: NDArray[np.float32]
) -> Responses:
    """Compute the responses to images in one pass.

    Parameters
    ----------
    network : Network
    bound : sequence of Bound
        Objectives, bound to the network at the size of the images.
    layers : sequence of str
        Layers of the path.
    images : (N, H, W, C)
        Valid images.

    Returns
    -------
    Responses
    """
    own = {layer for item in bound if competitors(item) for layer in item.form.layers}
    paths = tuple(dict.fromkeys((*layers, *sorted(own))))
    others = [row for row, item in enumerate(bound) if not competitors(item)]
    values = np.empty((len(bound), len(images)))
    units: dict[tuple[Form, bytes], list[Floats]] = {}
    path: dict[str, list[Floats]] = {layer: [] for layer in layers}
    for start in range(0, len(images), BATCH):
        rows = images[start : start + BATCH]
        here = slice(start, start + len(rows))
        found = read_layers(network, rows, paths, min(BATCH, len(images))) if paths else {}
        for layer in layers:
            path[layer].append(position_mean(np, found[layer]).astype(np.float64))
        batch: dict[tuple[Form, bytes], Floats] = {}
        for row, item in enumerate(bound):
            if (key := competitors(item)) is None:
                continue
            if key not in batch:
                batch[key] = _columns(item, found)
                units.setdefault(key, []).append(batch[key])
            values[row, here] = _own(item, batch[key])
        for row in others:
            # Not a column of one layer: evaluated by the framework of the network.
            values[row, here] = run_program(network, bound[row], Values(network, bound[row].form), rows, len(rows))[0]
    return Responses(
        values,
        {key: np.concatenate(parts) for key, parts in units.items()},
        {layer: np.concatenate(parts) for layer, parts in path.items()},
    )


def bound_at(network: Network, objectives: Sequence[Objective], images: NDArray[np.float32]) -> list[Bound]:
    """Bind objectives to the network at the size of `images`."""
    with network.scope():
        shapes = ShapesAt(network, (images.shape[1], images.shape[2]))
        return [item.bind(network, shapes) for item in objectives]


def real_images(network: Network, images: ImagesLike) -> NDArray[np.float32]:
    """Load real images into memory, ``(N, H, W, C)``."""
    return read_images(images, network.input)


def competitors(item: Bound) -> tuple[Form, bytes] | None:
    """Key of the units to which an objective is compared: all channels of its layer, read at the same position.

    None for objectives that are not a unit or direction of one layer, such as sums, matches, whole layers and user functions.
    """
    if isinstance(item.form, ChannelForm):
        return item.form, b""
    if isinstance(item.form, NeuronForm):
        return item.form, np.asarray(item.arguments[1:]).tobytes()
    if isinstance(item.form, DirectionForm):
        return item.form, np.asarray(item.arguments[2:]).tobytes()
    return None


def channel_of(item: Bound) -> int | None:
    """The channel of an objective; None unless it is a channel or neuron."""
    return int(item.arguments[0]) if isinstance(item.form, (ChannelForm, NeuronForm)) else None


def path_layers(network: Network, item: Bound) -> tuple[str, ...]:
    """Layers from the input to that of an objective, inclusive; at most eight, evenly spaced."""
    last = network.layers.last(item.form.layers)
    before: list[str] = []
    for path in network.layers:
        if network.layers[path].channels > 1 and "@" not in path:
            before.append(path)
        if path == last:
            break
    if len(before) <= MOST_LAYERS:
        return tuple(before)
    places = np.linspace(0, len(before) - 1, MOST_LAYERS).round().astype(int)
    return tuple(before[place] for place in places)


def _columns(item: Bound, found: Mapping[str, NDArray[np.floating]]) -> Floats:
    form = item.form
    activation = found[form.layers[0]]
    mean = isinstance(form, ChannelForm) or (isinstance(form, DirectionForm) and form.where == "mean")
    if mean:
        return np.asarray(position_mean(np, activation), np.float64)
    place = item.arguments[1:] if isinstance(form, NeuronForm) else item.arguments[2:]
    repeated = tuple(np.repeat(np.asarray(axis)[None], len(activation), axis=0) for axis in place)
    return np.asarray(at_position(np, activation, not place, repeated), np.float64)


def _own(item: Bound, columns: Floats) -> Floats:
    channel = channel_of(item)
    if channel is not None:
        return columns[:, channel]
    # A direction depends on these columns only, so its form can be evaluated on them.
    repeated: Tree = stack_trees([item.arguments[:2]] * len(columns))
    measure = item.form.measure if isinstance(item.form, DirectionForm) else "dot"
    value: Floats = DirectionForm(item.form.layers[0], "mean", measure)(np, {item.form.layers[0]: columns}, repeated)
    return value


@dataclass(frozen=True)
class Values:
    """``(weights, images, arguments) -> (values (N,),)`` for `Backend.run`: an objective on untransformed images."""

    network: Network
    form: Form

    def __call__(self, weights: Tree, images: Array, arguments: Tree) -> tuple[Array]:
        activations = read(self.network, images, self.form, weights)
        return (evaluate(self.form, self.network.backend, activations, arguments, images.shape[0]),)
