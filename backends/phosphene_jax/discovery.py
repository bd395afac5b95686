"""Find the layers of a traced function and their layouts, by tracing it for one image and for two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from phosphene.backend import Interface
from phosphene.errors import InvalidParameter
from phosphene.layers import ATTENTION, OUTPUT, Layer, Layers
from phosphene.types import Array
from phosphene_jax.adapters import Adapted
from phosphene_jax.axes import axes_of_marks
from phosphene_jax.interpreter import Taps, interpret, marks_in

__all__ = ["Found", "Storage", "discover", "stacks_in"]

Evaluate = Callable[[Array, Sequence[str]], Mapping[str, Array]]


@dataclass(frozen=True)
class Storage:
    """The model's layout of an activation, and its conversion to the layout of the contract and back.

    Attributes
    ----------
    axis : int
        The channel axis, counted from the left with the batch axis.
    windows : int
        Number of windows per image that are folded into the batch axis.
    """

    axis: int
    windows: int = 1

    def read(self, value: Array) -> Array:
        """Convert to channel-last, with windows behind the batch axis."""
        value = jnp.moveaxis(value, self.axis, -1) if self.axis < value.ndim - 1 else value
        return value if self.windows == 1 else jnp.reshape(value, (-1, self.windows, *value.shape[1:]))

    def native(self, value: Array) -> Array:
        """The inverse of `read`."""
        value = value if self.windows == 1 else jnp.reshape(value, (-1, *value.shape[2:]))
        return jnp.moveaxis(value, -1, self.axis) if self.axis < value.ndim - 1 else value


@dataclass(frozen=True)
class Found:
    """The layers found at one input size.

    Attributes
    ----------
    layers : Layers
    storage : mapping of str to Storage
        Layouts by layer path.
    missed : tuple of str
        Messages about parts that the interpreter could not reach.
    unsure : tuple of str
        Paths of layers whose channel axis is a guess.
    loose : tuple of str
        Marks without rows for each image, which are not layers.
    """

    layers: Layers
    storage: Mapping[str, Storage]
    missed: tuple[str, ...]
    unsure: tuple[str, ...]
    loose: tuple[str, ...]


def discover(
    adapted: Adapted,
    interface: Interface,
    traces: Sequence[Any],
    arguments: Sequence[Sequence[Any]],
    evaluate: Evaluate,
    *,
    name: str,
) -> Found:
    """Find the layers of a model at one input size.

    Parameters
    ----------
    adapted : Adapted
    interface : Interface
    traces : (ClosedJaxpr, ClosedJaxpr)
        The marked function for one image and for two.
    arguments : (sequence, sequence) of ShapeDtypeStruct
        Arguments of both: weights, and images as the last one.
    evaluate : callable
        ``(images, paths) -> {path: array}``, in the model's layout.
    name : str
        Name of the network, for error messages.

    Returns
    -------
    Found
    """
    missed: dict[str, None] = {}
    alone, together = (_shapes(*pair, missed) for pair in zip(traces, arguments, strict=True))
    # With two images, since other axes of length 1 may be confused with a batch axis of length 1.
    followed = axes_of_marks(traces[1], interface.axis_of)
    whole = {path: alone[path][0] for path in alone if _folds(path, alone, together)}
    folded = [path for path, windows in whole.items() if windows > 1]
    if folded:
        for path in _mixed(folded, whole, arguments[0][-1], evaluate):
            del whole[path]
    layers, storage, unsure = [], {}, []
    last: dict[int, int] = {}
    for path in sorted(whole, key=OUTPUT.__eq__):
        shape, windows = alone[path], whole[path]
        axis, known = _axis(path, followed.get(path), shape, adapted, interface, last)
        last[len(shape)] = axis
        storage[path] = Storage(axis, windows)
        if not known:
            unsure.append(path)
        layers.append(_layer(path, shape, storage[path], adapted))
    loose = tuple(path for path in alone if path not in whole)
    idle = {*adapted.kinds, *(path.partition("#")[0] for path in loose)}
    return Found(Layers(layers, name, idle), storage, tuple(missed), tuple(unsure), loose)


def stacks_in(jaxpr: Any) -> list[str]:
    """Return the distinct names of marks inside scans."""
    found: dict[str, None] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            found.update(dict.fromkeys(marks_in(equation.params["jaxpr"].jaxpr)))
        else:
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                found.update(dict.fromkeys(stacks_in(inner) if hasattr(inner, "eqns") else ()))
    return list(found)


def _shapes(closed: Any, arguments: Sequence[Any], missed: dict[str, None]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all marks in forward order, from an abstract pass."""
    order: list[str] = []

    def read(*arguments: Array) -> dict[str, Array]:
        taps = Taps(None)
        interpret(closed, arguments, taps)
        order.extend(taps.values)
        missed.update(taps.missed)
        return taps.values

    shapes = jax.eval_shape(read, *arguments)
    return {path: tuple(shapes[path].shape) for path in order}


def _folds(path: str, alone: Mapping[str, tuple[int, ...]], together: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the leading axis is twice as long for two images as for one, and no other axis changes."""
    one, two = alone[path], together.get(path, ())
    return bool(one) and len(two) == len(one) and two == (2 * one[0], *one[1:])


def _mixed(paths: Sequence[str], windows: Mapping[str, int], images: Any, evaluate: Evaluate) -> list[str]:
    """Return the paths at which the rows of an image depend on the image before it in the batch."""
    random = np.random.default_rng(0).random((2, *images.shape[1:]))
    both = jnp.asarray(random, images.dtype)
    together, alone = evaluate(both, paths), evaluate(both[1:], paths)
    found = []
    for path in paths:
        second, wanted = (np.asarray(value, np.float64) for value in (together[path][windows[path] :], alone[path]))
        scale = np.abs(wanted).max() + 1e-12
        if not np.abs(second - wanted).max() <= 1e-3 * scale:
            found.append(path)
    return found


def _axis(
    path: str,
    followed: int | None,
    shape: tuple[int, ...],
    adapted: Adapted,
    interface: Interface,
    last: Mapping[int, int],
) -> tuple[int, bool]:
    """Return the channel axis from the left, and whether it is known: stated, tracked, by convention, or guessed."""
    end = len(shape) - 1
    stated = interface.axis_of(path, path.partition("#")[0])
    if stated is not None:
        if not (1 <= stated <= end or -end <= stated <= -1):
            raise InvalidParameter(
                f"channel_axis[{path!r}]",
                allowed=f"an axis from 1 to {end}, or -1",
                received=stated,
                fix=f"The activation has shape {shape}, with the batch axis first.",
            )
        return stated % len(shape), True
    if end <= 1 or path.partition("#")[0].endswith(ATTENTION):
        return max(end, 0), True
    if followed:
        return followed, True
    if adapted.channels_last:
        return end, True
    return (last.get(len(shape), 1) if adapted.per_example and end > 2 else end), False


def _layer(path: str, shape: tuple[int, ...], storage: Storage, adapted: Adapted) -> Layer:
    module = path.partition("#")[0]
    parameters = adapted.parameters.get(module.removesuffix(ATTENTION), 0)
    kind = adapted.kinds.get(module, "Mark")
    if module.endswith(ATTENTION):
        kind = "Attention"
    elif path == OUTPUT:
        kind, parameters = "Output", adapted.parameters.get("", 0)
    rest = [side for place, side in enumerate(shape) if place not in (0, storage.axis)]
    channels = [shape[storage.axis]] if storage.axis else []
    inner = (*([storage.windows] if storage.windows > 1 else []), *rest, *channels)
    # In a model of one image that is mapped over windows, only attention maps have a window axis.
    windows = inner[0] if kind == "Attention" and len(inner) == 4 else storage.windows
    axis = -1 if storage.axis == len(shape) - 1 else storage.axis
    return Layer(path, kind, inner, parameters, axis, windows)
