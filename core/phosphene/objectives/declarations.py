"""Declarations of objectives: ``ph.channel("stage3", 5) - 0.5 * ph.logit("coins")``.

A declaration does not depend on a network. `Objective.bind` checks it against one (layers, channels and classes must exist) and
returns a `Bound`: a static form and its arguments.
"""

from __future__ import annotations

import abc
import contextlib
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, UnknownClass, said
from phosphene.kit.checks import class_named, text
from phosphene.layers import OUTPUT
from phosphene.objectives.forms import (
    ChannelForm,
    ConstantForm,
    DirectionForm,
    Form,
    LayerForm,
    LinearForm,
    MatchForm,
    NeuronForm,
    ProductForm,
    UserForm,
    called,
)
from phosphene.objectives.location import Place, Shapes, ShapesAt, place_text, position_of
from phosphene.types import Array, Floats, Size, Tree, UserObjective

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
    """An objective to maximise; combine with ``+``, ``-``, ``*`` (numbers or objectives) and ``/`` (by a number)."""

    __array_ufunc__ = None
    """Makes NumPy leave ``np.float64(2) * objective`` to `__rmul__`."""

    @abc.abstractmethod
    def bind(self, network: Network, shapes: Shapes) -> Bound:
        """Check against `network`, whose layers have `shapes` at the size in use, and return form and arguments."""

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """A short title for pictures and tables."""

    @property
    def parts(self) -> tuple[Objective, ...]:
        """The objectives of which it is made; none for one that reads a layer itself."""
        return ()

    def __add__(self, other: float | Objective) -> Objective:
        if isinstance(other, Objective):
            return _added(self, other, 1.0)
        return self._shifted(_number("+", other))

    __radd__ = __add__

    def __sub__(self, other: float | Objective) -> Objective:
        if isinstance(other, Objective):
            return _added(self, other, -1.0)
        return self._shifted(-_number("-", other))

    def _shifted(self, number: float) -> Objective:
        if not number:
            return self  # sum([...]) begins with 0
        return _added(self, Constant(abs(number)), 1.0 if number > 0 else -1.0)

    def __rsub__(self, other: float) -> Objective:
        number = _number("-", other)
        return Sum((Constant(number), self), (1.0, -1.0)) if number else -self

    def __mul__(self, other: float | Objective) -> Objective:
        return Product(self, other) if isinstance(other, Objective) else Sum((self,), (_number("*", other),))

    __rmul__ = __mul__

    def __truediv__(self, other: float) -> Objective:
        divisor = other if isinstance(other, Objective) else _number("/", other)
        if isinstance(divisor, Objective) or abs(divisor) < TINY:
            raise _meaningless("/", "a divisor that is a number other than 0", other, "For a ratio write a function")
        return Sum((self,), (1.0 / divisor,))

    def __rtruediv__(self, other: Any) -> Objective:
        allowed = "a number as the divisor, not an objective"
        raise _meaningless("/", allowed, other, "To lower a unit write -objective; for a ratio write a function")

    def __pow__(self, other: Any) -> Objective:
        raise _meaningless("**", "+, -, * or / in its place", other, "Write objective * objective, or a function")

    def __neg__(self) -> Objective:
        return Sum((self,), (-1.0,))

    def __pos__(self) -> Objective:
        return self


TINY = 1e-300
"""Smallest number by which an objective is divided."""


def _number(operator: str, value: Any) -> float:
    """A finite real number, also as a NumPy scalar or an array without axes."""
    plain: Any = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    real = isinstance(plain, numbers.Real) and not isinstance(plain, bool)
    with contextlib.suppress(OverflowError, ValueError):  # integers beyond the range of floats
        if real and abs(found := float(plain)) < MOST:
            return found
    fix = "Combine objectives with each other or with finite numbers; for anything else write a function"
    raise _meaningless(operator, "a finite number or an objective", value, fix)


MOST_DEPTH = 32
"""Most levels of objectives made of others. Frameworks go through each level by several nested calls."""

MOST_TERMS = 10_000
"""Most terms of a sum."""


def check_depth(objective: Objective) -> None:
    """Check that an objective is not made of others on more than `MOST_DEPTH` levels, or of too many; without recursion.

    Raises
    ------
    InvalidObjective
    """
    level: dict[int, Objective] = {id(objective): objective}
    for _ in range(MOST_DEPTH):
        level = {id(part): part for item in level.values() for part in item.parts}
        if not level:
            break
    if level or len(objective.parts) > MOST_TERMS:
        raise InvalidObjective(
            "objective",
            allowed=f"a sum of at most {MOST_TERMS:,} terms, and objectives in objectives on at most {MOST_DEPTH} levels",
            received=said("more"),
            fix="Add terms up in one sum or ph.objectives.group, or write a function: "
            "ph.objective(lambda xp, activations: ...).",
        )


def _added(left: Objective, right: Objective, weight: float) -> Objective:
    """A sum of two objectives; the terms of a sum on the left stay terms, so that long sums are not nested."""
    if isinstance(left, Sum) and all(left.weights):
        return Sum((*left.terms, right), (*left.weights, weight))
    return Sum((left, right), (1.0, weight))


MOST = 1e300
"""Largest magnitude of a number in an objective."""


def _meaningless(operator: str, allowed: str, received: object, fix: str) -> InvalidObjective:
    shown = said(received.label) if isinstance(received, Objective) else received
    return InvalidObjective(
        f"objective {operator}",
        allowed=allowed,
        received=shown,
        fix=f"{fix}: ph.objective(lambda xp, activations: ...).",
    )


@dataclass(frozen=True)
class Constant(Objective):
    """A number: a term of a sum, which shifts its values and leaves its gradient."""

    value: float

    @property
    def label(self) -> str:
        return f"{self.value:g}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        return Bound(ConstantForm(), (np.asarray(self.value, np.float64),), self.label)


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
        named = isinstance(self.wanted, str) and not self.wanted.isdecimal()
        name = str(self.wanted) if named else f"class {self.wanted}"
        return name if self.at is None else f"{name} at {place_text(self.at)}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        index = class_index(network, self.wanted)
        layer_shape(network, shapes, OUTPUT)
        number = np.asarray(index, np.int32)
        name = class_title(network, index) + ("" if self.at is None else f" at {place_text(self.at)}")
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
        size = shapes.size if isinstance(shapes, ShapesAt) else network.input.size
        layers = self.layers or _layers_read(self.function, network, size, list(shapes))
        for path in layers:
            layer_shape(network, shapes, path)
        return Bound(UserForm(self.function, layers), (), self.label)


@dataclass(frozen=True)
class Sum(Objective):
    terms: tuple[Objective, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        check_depth(self)

    @property
    def parts(self) -> tuple[Objective, ...]:
        return self.terms

    @property
    def label(self) -> str:
        parts = [
            (_term(term, weight), weight < 0)
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


def _term(term: Objective, weight: float) -> str:
    """A term of a sum as text: a sum inside it stands in brackets where it has a factor or a minus."""
    inner = f"({term.label})" if isinstance(term, Sum) and len(term.terms) > 1 and weight != 1 else term.label
    return inner if abs(weight) == 1 else f"{abs(weight):g} x {inner}"


@dataclass(frozen=True)
class Product(Objective):
    left: Objective
    right: Objective

    def __post_init__(self) -> None:
        check_depth(self)

    @property
    def parts(self) -> tuple[Objective, ...]:
        return (self.left, self.right)

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
        index = class_named(network.classes or (), wanted)
        if index is not None:
            return index
        if not (wanted.isdecimal() and wanted.isascii()) or len(wanted) > MOST_DIGITS:
            raise UnknownClass(wanted, network.classes, count)
        wanted = int(wanted)  # an index, as on the command line
    wanted = int(class_of(wanted))
    if not 0 <= wanted < count:
        raise UnknownClass(wanted, network.classes, count)
    return wanted


def class_of(wanted: Any) -> int | str:
    """Check that a class is given by name or index; whether a network has it is for `class_index` to say."""
    if isinstance(wanted, str):
        return str(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)):
        raise InvalidParameter(
            "class",
            allowed="a class by name or index",
            received=wanted,
            fix='For example ph.logit(0), or ph.logit("coins").',
        )
    return int(wanted)


def layer_path(path: Any) -> str:
    """Check that a layer is given by its path; whether a network has it is for `layer_shape` to say."""
    return text("layer", path, fix='For example "stage3"; net.layers lists the paths of all layers.')


def index_of(channel: Any) -> int:
    """Check that a channel is given by its index; whether a layer has it is for the objective's `bind` to say."""
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)):
        raise InvalidParameter(
            "channel",
            allowed="the index of a channel, an integer from 0",
            received=channel,
            fix='For example ph.channel("stage3", 5); text such as "stage3:0-15" stands for several.',
        )
    return int(channel)


MOST_DIGITS = 9
"""Digits of the longest text that is read as the index of a class."""


def class_title(network: Network, index: int) -> str:
    """The name of a class, with its index if other classes have the same name; "class 5" without names."""
    if network.classes is None:
        return f"class {index}"
    name = network.classes[index]
    return f"{name} (class {index})" if network.classes.count(name) > 1 else name


def _company(parts: Sequence[Bound]) -> object:
    """The company of the first of `parts` that has one."""
    return next((part.company for part in parts if part.company is not None), None)


def layer_shape(network: Network, shapes: Shapes, path: str) -> tuple[int, ...]:
    layer = network.layers[path]  # raises UnknownLayer with the nearest names
    return shapes[path] if isinstance(shapes, ShapesAt) else tuple(shapes.get(path, layer.shape))


def _channel(network: Network, shapes: Shapes, path: str, channel: int) -> NDArray[np.int32]:
    count = layer_shape(network, shapes, path)[-1]
    if not 0 <= index_of(channel) < count:
        raise InvalidParameter(
            "channel",
            allowed=f"0 to {count - 1} ({path!r} has {count} channels)",
            received=channel,
            fix="net.layers shows the channels of each layer.",
        )
    return np.asarray(channel, np.int32)


class _Recorder(Mapping[str, Array]):
    """Activations that record which layers are read."""

    def __init__(self, activations: Mapping[str, Array], network: Network, size: Size) -> None:
        self.activations, self.network, self.size, self.asked = activations, network, size, dict[str, None]()

    def __getitem__(self, path: str) -> Array:
        self.asked[self.network.layers[path].path] = None
        if path not in self.activations:
            raise ShapesAt(self.network, self.size).failure(path)
        return self.activations[path]

    def __iter__(self) -> Any:
        return iter(self.activations)

    def __len__(self) -> int:
        return len(self.activations)


def _layers_read(function: UserObjective, network: Network, size: Size, known: Sequence[str]) -> tuple[str, ...]:
    """Run a user's function once on a grey image of `size`, and record which of the `known` layers it reads."""
    backend = network.backend
    with network.scope():
        grey: Floats = np.full((1, *size, network.input.channels), 0.5)
        images = backend.from_numpy(grey, device=network.device, dtype=network.dtype)
        recorder = _Recorder(network.forward(images, known), network, size)
        called(function, backend.xp, recorder)
    if not recorder.asked:
        raise InvalidObjective(
            "objective",
            allowed="a function that reads at least one layer",
            received=function,
            fix="Write a function f(xp, activations) that uses activations['path'].",
        )
    return tuple(recorder.asked)
