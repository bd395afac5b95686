"""Declarations of objectives: ``ph.channel("stage3", 5) - 0.5 * ph.logit("coins")``.

A declaration does not depend on a network. `Objective.bind` checks it against one (layers, channels and classes must exist) and
returns a `Bound`: a static form and its arguments.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, UnknownClass, said
from phosphene.layers import OUTPUT
from phosphene.objectives.forms import (
    ChannelForm,
    DirectionForm,
    Form,
    LayerForm,
    LinearForm,
    MatchForm,
    NeuronForm,
    ProductForm,
    UserForm,
)
from phosphene.objectives.location import Place, Shapes, place_text, position_of
from phosphene.types import Array, Floats, Namespace, Tree, UserObjective

__all__ = ["Bound", "Objective"]


@dataclass(frozen=True)
class Bound:
    """An objective bound to a network.

    Attributes
    ----------
    form : Form
        The static part of the objective.
    arguments : tree of numpy.ndarray
        Arguments of the form, without a target axis.
    label : str
        Title of the picture.
    identity : tree of numpy.ndarray, optional
        Content by which the random numbers of the target are keyed (default: the arguments). For an activation read from an
        image it is the image, since activations differ by rounding between frameworks.
    company : object, optional
        The same object for all targets that depend on each other and are computed in one batch.
    """

    form: Form
    arguments: Tree
    label: str
    identity: Tree = None
    company: object = None

    @property
    def key(self) -> Tree:
        """The content by which the target's random numbers are keyed."""
        return self.arguments if self.identity is None else self.identity


class Objective(abc.ABC):
    """An objective to maximise; combine with ``+``, ``-`` and ``*`` (by numbers or other objectives)."""

    @abc.abstractmethod
    def bind(self, network: Network, shapes: Shapes) -> Bound:
        """Check against `network`, whose layers have `shapes` at the size in use, and return form and arguments."""

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """A short title for pictures and tables."""

    def __add__(self, other: Objective) -> Objective:
        return Sum((self, other), (1.0, 1.0)) if isinstance(other, Objective) else NotImplemented

    def __sub__(self, other: Objective) -> Objective:
        return Sum((self, other), (1.0, -1.0)) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, other: float | Objective) -> Objective:
        if isinstance(other, Objective):
            return Product(self, other)
        return Sum((self,), (float(other),)) if isinstance(other, (int, float)) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return Sum((self,), (-1.0,))


@dataclass(frozen=True)
class Channel(Objective):
    layer: str
    channel: int

    @property
    def label(self) -> str:
        return f"{self.layer} : {self.channel}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        number = _channel(network, shapes, self.layer, self.channel)
        return Bound(ChannelForm(self.layer), (number,), self.label)


@dataclass(frozen=True)
class Neuron(Objective):
    layer: str
    channel: int
    at: Place

    @property
    def label(self) -> str:
        return f"{self.layer} : {self.channel} at {place_text(self.at)}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        number = _channel(network, shapes, self.layer, self.channel)
        place = position_of(network, shapes, self.layer, self.at)
        return Bound(NeuronForm(self.layer, not place), (number, *place), self.label)


@dataclass(frozen=True, eq=False)
class Direction(Objective):
    layer: str
    vector: NDArray[Any]
    at: Place
    cosine_power: float
    name: str
    measure: str = "dot"

    @property
    def label(self) -> str:
        return self.name or f"{self.layer} : direction"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        shape = layer_shape(network, shapes, self.layer)
        vector = np.asarray(self.vector, np.float64)
        if vector.shape != (shape[-1],):
            raise InvalidObjective(
                "vector",
                allowed=f"{shape[-1]} numbers (one per channel of {self.layer!r})",
                received=said(f"shape {self.vector.shape}"),
                fix="net.layers shows the channels of each layer.",
            )
        if not np.all(np.isfinite(vector)) or not np.any(vector):
            raise InvalidObjective(
                "vector",
                allowed="finite numbers, not all zero",
                received=self.vector,
                fix="Check the array that the vector was made from.",
            )
        place = () if self.at == "mean" else position_of(network, shapes, self.layer, self.at)
        where = "mean" if self.at == "mean" else "at" if place else "centre"
        power = np.asarray(self.cosine_power, np.float64)
        return Bound(DirectionForm(self.layer, where, self.measure), (vector, power, *place), self.label)


@dataclass(frozen=True)
class WholeLayer(Objective):
    layer: str

    @property
    def label(self) -> str:
        return f"{self.layer} : all"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        layer_shape(network, shapes, self.layer)
        return Bound(LayerForm(self.layer), (), self.label)


@dataclass(frozen=True)
class Logit(Objective):
    wanted: int | str
    at: Place

    @property
    def label(self) -> str:
        name = self.wanted if isinstance(self.wanted, str) else f"class {self.wanted}"
        return name if self.at is None else f"{name} at {place_text(self.at)}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        index = class_index(network, self.wanted)
        number = np.asarray(index, np.int32)
        name = self.label if network.classes is None else Logit(network.classes[index], self.at).label
        if self.at is None:
            return Bound(ChannelForm(OUTPUT), (number,), name)
        place = position_of(network, shapes, OUTPUT, self.at)
        return Bound(NeuronForm(OUTPUT, not place), (number, *place), name)


@dataclass(frozen=True, eq=False)
class Match(Objective):
    layer: str
    wanted: NDArray[Any]
    measure: str
    cosine_power: float
    identity: Tree = None

    @property
    def label(self) -> str:
        return f"{self.layer} : match"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        shape = layer_shape(network, shapes, self.layer)
        wanted = np.asarray(self.wanted, np.float64)
        if wanted.shape != shape:
            raise InvalidObjective(
                "wanted",
                allowed=f"an activation of {self.layer!r} of shape {shape}",
                received=said(f"shape {wanted.shape}"),
                fix="Read it with ph.activations from an image of the size that is rendered.",
            )
        arguments = (wanted, np.asarray(self.cosine_power))
        return Bound(MatchForm(self.layer, self.measure), arguments, self.label, self.identity)


@dataclass(frozen=True)
class User(Objective):
    function: UserObjective
    layers: tuple[str, ...] | None

    @property
    def label(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        layers = self.layers or _layers_read(self.function, network)
        for path in layers:
            layer_shape(network, shapes, path)
        return Bound(UserForm(self.function, layers), (), self.label)


@dataclass(frozen=True)
class Sum(Objective):
    terms: tuple[Objective, ...]
    weights: tuple[float, ...]

    @property
    def label(self) -> str:
        parts = [
            (term.label if abs(weight) == 1 else f"{abs(weight):g} x {term.label}", weight < 0)
            for term, weight in zip(self.terms, self.weights, strict=True)
            if weight or not any(self.weights)
        ]
        head = ("- " if parts[0][1] else "") + parts[0][0]
        return head + "".join(f" {'-' if negative else '+'} {text}" for text, negative in parts[1:])

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        bound = [term.bind(network, shapes) for term in self.terms]
        form = LinearForm(tuple(item.form for item in bound))
        weights = np.asarray(self.weights, np.float64)
        identity = (weights, tuple(item.key for item in bound))
        return Bound(form, (weights, tuple(item.arguments for item in bound)), self.label, identity, _company(bound))


@dataclass(frozen=True)
class Product(Objective):
    left: Objective
    right: Objective

    @property
    def label(self) -> str:
        return f"({self.left.label}) x ({self.right.label})"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        left, right = self.left.bind(network, shapes), self.right.bind(network, shapes)
        identity = (left.key, right.key)
        arguments = (left.arguments, right.arguments)
        return Bound(ProductForm(left.form, right.form), arguments, self.label, identity, _company((left, right)))


def class_index(network: Network, wanted: int | str) -> int:
    """Return the index of a class given by index or name; raise `UnknownClass` if there is none."""
    if OUTPUT not in network.layers:
        raise InvalidObjective(
            "logit",
            allowed="a network that returns one array of logits",
            received=network.name,
            fix="Name the part of the output that holds them with ph.wrap(..., output=...), or maximise a channel of a layer.",
        )
    count = network.layers[OUTPUT].channels
    if isinstance(wanted, str):
        if network.classes is None or wanted not in network.classes:
            raise UnknownClass(wanted, network.classes, count)
        return network.classes.index(wanted)
    if not 0 <= wanted < count:
        raise UnknownClass(int(wanted), network.classes, count)
    return int(wanted)


def _company(parts: Sequence[Bound]) -> object:
    """The company of the first of `parts` that has one."""
    return next((part.company for part in parts if part.company is not None), None)


def layer_shape(network: Network, shapes: Shapes, path: str) -> tuple[int, ...]:
    layer = network.layers[path]  # raises UnknownLayer with the nearest names
    return tuple(shapes.get(path, layer.shape))


def _channel(network: Network, shapes: Shapes, path: str, channel: int) -> NDArray[np.int32]:
    count = layer_shape(network, shapes, path)[-1]
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)) or not 0 <= channel < count:
        raise InvalidParameter(
            "channel",
            allowed=f"0 to {count - 1} ({path!r} has {count} channels)",
            received=channel,
            fix="net.layers shows the channels of each layer.",
        )
    return np.asarray(channel, np.int32)


class _Recorder(Mapping[str, Array]):
    """Activations that record which layers are read."""

    def __init__(self, activations: Mapping[str, Array], network: Network) -> None:
        self.activations, self.network, self.asked = activations, network, dict[str, None]()

    def __getitem__(self, path: str) -> Array:
        self.asked[self.network.layers[path].path] = None
        return self.activations[path]

    def __iter__(self) -> Any:
        return iter(self.activations)

    def __len__(self) -> int:
        return len(self.activations)


def _layers_read(function: UserObjective, network: Network) -> tuple[str, ...]:
    """Run a user's function once on a grey image and record which layers it reads."""
    backend = network.backend
    with network.scope():
        grey: Floats = np.full((1, *network.input.size, network.input.channels), 0.5)
        images = backend.from_numpy(grey, device=network.device, dtype=network.dtype)
        recorder = _Recorder(network.forward(images, list(network.layers)), network)
        xp: Namespace = backend.xp
        function(xp, recorder)
    if not recorder.asked:
        raise InvalidObjective(
            "objective",
            allowed="a function that reads at least one layer",
            received=function,
            fix="Write a function f(xp, activations) that uses activations['path'].",
        )
    return tuple(recorder.asked)
