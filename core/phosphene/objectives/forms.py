"""The static forms of objectives: pure functions of channel-last activations, one value per row.

A form is frozen and compared by value, and holds no numbers that differ between targets. Those are its *arguments*, arrays with
a leading target axis, so that another channel of the same layer reuses the compiled program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from phosphene.arrays import arange, row_sum, take_channel
from phosphene.errors import InvalidObjective, PhospheneError, said
from phosphene.failures import lacks_memory, line_of
from phosphene.types import Activations, Array, Namespace, Tree

__all__ = [
    "ChannelForm",
    "ConstantForm",
    "DirectionForm",
    "DiversityForm",
    "Form",
    "LayerForm",
    "LinearForm",
    "MatchForm",
    "NeuronForm",
    "ProductForm",
    "SpatialForm",
    "UserForm",
]

COSINE_FLOOR = 0.1
"""Smallest cosine of which a power is taken; below it a direction would have no gradient (the value of lucid)."""

NEAREST = 1e-3
"""Added to the distance (one minus the cosine), since the logarithm of a smaller distance would amplify rounding errors."""


class Form(Protocol):
    """The static part of an objective."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that the form reads."""
        ...

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        """Return one value per row, ``(N,)``; `arguments` have a leading axis of N."""
        ...


@dataclass(frozen=True)
class ChannelForm:
    """Mean over positions of one channel; arguments ``(channel (N,),)``."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        return take_channel(xp, position_mean(xp, activations[self.layer]), arguments[0])


@dataclass(frozen=True)
class NeuronForm:
    """One channel at one position; arguments ``(channel (N,),)`` and, unless `central`, ``position (N, positions)``."""

    layer: str
    central: bool

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        return take_channel(xp, at_position(xp, activations[self.layer], self.central, arguments[1:]), arguments[0])


@dataclass(frozen=True)
class DirectionForm:
    """``(h.v) max(cos(h, v), 0.1)^power`` (Carter et al. 2019); arguments ``(v (N, C), power (N,))``, then a position.

    `where` is "mean" (h is the mean over positions), "centre" or "at" (h is read at one position). `measure` is "dot" (above),
    "cosine" (the cosine alone) or "log distance" (``-log(1 - cos(h, v))``).
    """

    layer: str
    where: str
    measure: str = "dot"

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        activation, vector, power = activations[self.layer], arguments[0], arguments[1]
        if self.where == "mean":
            seen = position_mean(xp, activation)
        else:
            seen = at_position(xp, activation, self.where == "centre", arguments[2:])
        dot = xp.sum(seen * vector, axis=-1)
        if self.measure == "dot":
            return dot * cosine_weight(xp, dot, seen, vector, power)
        cosine = dot / norms_of(xp, seen, vector)
        # Rounding may make the cosine larger than 1.
        return cosine if self.measure == "cosine" else -xp.log(xp.maximum(1 - cosine, cosine * 0) + NEAREST)


@dataclass(frozen=True)
class LayerForm:
    """Mean square of a whole layer, the objective of DeepDream (Mordvintsev et al. 2015); no arguments."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        activation = activations[self.layer]
        return xp.mean(xp.reshape(activation * activation, (activation.shape[0], -1)), axis=1)


@dataclass(frozen=True)
class MatchForm:
    """Similarity of a layer's activation to a given one; arguments ``(wanted (N, ...), power (N,))``.

    ``squared``: minus the squared error, divided by the given activation's squared norm (Mahendran and Vedaldi 2015).
    ``cosine``: ``(h.v / |v|^2) max(cos, 0.1)^power``, with h and v flattened.
    """

    layer: str
    measure: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        wanted, power = arguments
        activation = activations[self.layer]
        norm = row_sum(xp, wanted * wanted) + 1e-12
        if self.measure == "squared":
            difference = activation - wanted
            return -row_sum(xp, difference * difference) / norm
        seen = xp.reshape(activation, (activation.shape[0], -1))
        vector = xp.reshape(wanted, (wanted.shape[0], -1))
        dot = xp.sum(seen * vector, axis=-1)
        return dot / norm * cosine_weight(xp, dot, seen, vector, power)


@dataclass(frozen=True)
class SpatialForm:
    """A pattern over positions and channels: ``(h.v) max(cos(h, v), 0.1)^power``; arguments ``(v (N, ..., C), power (N,))``."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        activation, (pattern, power) = activations[self.layer], arguments
        seen = xp.reshape(activation, (activation.shape[0], -1))
        vector = xp.reshape(pattern, (pattern.shape[0], -1))
        dot = xp.sum(seen * vector, axis=-1)
        return dot * cosine_weight(xp, dot, seen, vector, power)


@dataclass(frozen=True)
class DiversityForm:
    """Minus the mean cosine between the Gram matrices of a row and of the other rows of the batch; no arguments.

    The Gram matrix of channels describes texture independently of position (Gatys et al. 2015; Olah et al. 2017).
    """

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        activation = activations[self.layer]
        count = activation.shape[0]
        cells = xp.reshape(activation, (count, -1, activation.shape[-1]))
        gram = xp.reshape(xp.matmul(xp.moveaxis(cells, 1, 2), cells), (count, -1))
        gram = gram / xp.sqrt(xp.sum(gram * gram, axis=1, keepdims=True) + 1e-12)
        others = xp.sum(gram, axis=0, keepdims=True) - gram
        return -xp.sum(gram * others, axis=1) / max(1, count - 1)


@dataclass(frozen=True)
class LinearForm:
    """A weighted sum of forms; arguments ``(weights (N, k), (arguments of each, ...))``."""

    forms: tuple[Form, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layer for form in self.forms for layer in form.layers))

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        weights, inner = arguments
        total = weights[:, 0] * self.forms[0](xp, activations, inner[0])
        for index in range(1, len(self.forms)):
            total = total + weights[:, index] * self.forms[index](xp, activations, inner[index])
        return total


@dataclass(frozen=True)
class ProductForm:
    """A product of two forms; arguments are a pair."""

    left: Form
    right: Form

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.left.layers, *self.right.layers)))

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        return self.left(xp, activations, arguments[0]) * self.right(xp, activations, arguments[1])


@dataclass(frozen=True)
class ConstantForm:
    """A number, the same for every image; arguments ``(number (N,),)``."""

    @property
    def layers(self) -> tuple[str, ...]:
        return ()

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        return arguments[0]


@dataclass(frozen=True)
class UserForm:
    """A user's function of the activations of `layers`; no arguments."""

    function: Callable[[Namespace, Activations], Array]
    layers: tuple[str, ...]

    def __call__(self, xp: Namespace, activations: Activations, arguments: Tree) -> Array:
        return called(self.function, xp, activations)

    def __repr__(self) -> str:
        # Random numbers are keyed by it, and the address in a function's repr changes from run to run.
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"UserForm({getattr(self.function, '__module__', '')}.{name}, {self.layers})"


def called(function: Callable[[Namespace, Activations], Array], xp: Namespace, activations: Activations) -> Array:
    """Call a user's function of activations.

    Raises
    ------
    InvalidObjective
        If it raises; the message says where. Errors of phosphene and a lack of memory are passed on.
    """
    try:
        return function(xp, activations)
    except PhospheneError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        where = line_of(error)
        name = getattr(function, "__name__", type(function).__name__)
        raise InvalidObjective(
            "objective",
            allowed="a function f(xp, activations) that returns one value per image",
            received=said(
                f"{type(error).__name__} from {name!r}: {str(error).strip()}"[:500] + f" (at {where})" * bool(where)
            ),
            fix="Activations are channel-last with a batch axis: (N, H, W, C), (N, T, C) or (N, C).",
        ) from error


def position_mean(xp: Namespace, activation: Array) -> Array:
    """Mean over all positions: ``(N, ..., C) -> (N, C)``."""
    if activation.ndim == 2:
        return activation
    return xp.mean(activation, axis=tuple(range(1, activation.ndim - 1)))


def at_position(xp: Namespace, activation: Array, central: bool, position: Tree) -> Array:
    """Activation at one position per row, ``(N, C)``: the central one, or `position` ``((N, axes),)``."""
    axes = activation.ndim - 2
    if axes == 0:
        return activation
    if central:
        return activation[(slice(None), *(side // 2 for side in activation.shape[1:-1]))]
    rows = arange(xp, activation.shape[0], activation)
    return activation[(rows, *(position[0][:, axis] for axis in range(axes)))]


def cosine_weight(xp: Namespace, dot: Array, seen: Array, vector: Array, power: Array) -> Array:
    """``max(cos, 0.1)^power``, with a gradient that is finite if an activation is zero."""
    cosine = dot / norms_of(xp, seen, vector)
    floor = xp.ones_like(cosine) * COSINE_FLOOR
    return xp.exp(power * xp.log(xp.maximum(cosine, floor)))


def norms_of(xp: Namespace, seen: Array, vector: Array) -> Array:
    """Product of the lengths of two vectors per row, with a gradient that is finite if one is zero."""
    return xp.sqrt(xp.sum(seen * seen, axis=-1) * xp.sum(vector * vector, axis=-1) + 1e-12)
