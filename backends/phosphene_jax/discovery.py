"""Find the layers of a traced function and their layouts, by tracing it for one image and for two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from phosphene_jax.influence import in_doubt
from phosphene_jax.interpreter import Taps, interpret, marks_in
from phosphene_jax.paths import is_part, module_of, name_of

__all__ = ["Found", "Storage", "discover", "stacks_in"]

Evaluate = Callable[[Sequence[Array], Sequence[str]], Sequence[Mapping[str, Array]]]

NO_ROWS = "it has no row for each image"


@dataclass(frozen=True)
class Storage:
    """The model's layout of an activation, and its conversion to the layout of the contract and back.

    Attributes
    ----------
    axis : int, or None
        The channel axis, counted from the left with the batch axis; None for one number an image.
    windows : int
        Number of windows per image that are folded into the batch axis.
    batch : int
        The axis of the images.
    """

    axis: int | None
    windows: int = 1
    batch: int = 0

    def read(self, value: Array) -> Array:
        """Convert to channel-last, with the batch axis first and windows behind it."""
        if self.axis is None:
            return value[:, None]
        if self._moves(value.ndim):
            value = jnp.moveaxis(value, (self.batch, self.axis), (0, value.ndim - 1))
        return value if self.windows == 1 else jnp.reshape(value, (-1, self.windows, *value.shape[1:]))

    def native(self, value: Array) -> Array:
        """The inverse of `read`."""
        if self.axis is None:
            return value[:, 0]
        value = value if self.windows == 1 else jnp.reshape(value, (-1, *value.shape[2:]))
        if self._moves(value.ndim):
            value = jnp.moveaxis(value, (0, value.ndim - 1), (self.batch, self.axis))
        return value

    def _moves(self, rank: int) -> bool:
        return (self.batch, self.axis) != (0, rank - 1)


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
        Main outputs of modules without rows for each image, which are not layers; single numbers and lists are left out.
    mixed : tuple of str
        Paths of layers in which an image changes with the other images of its batch; found only if `suspects` were given.
    unread : mapping of str to str
        Paths that are no layers, and the reason for each.
    """

    layers: Layers
    storage: Mapping[str, Storage]
    missed: tuple[str, ...]
    unsure: tuple[str, ...]
    loose: tuple[str, ...]
    mixed: tuple[str, ...]
    unread: Mapping[str, str]


def discover(
    adapted: Adapted,
    interface: Interface,
    traces: Sequence[Any],
    arguments: Sequence[Sequence[Any]],
    evaluate: Evaluate,
    *,
    name: str,
    probe: Callable[[], Any] | None,
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
        ``(batches, paths) -> [{path: array}]``, in the model's layout.
    name : str
        Name of the network, for error messages.
    probe : callable, optional
        Traces the function for four images, to find layers that mix the images of a batch. Otherwise only those are compared
        by numbers of which windows may be folded into the batch axis.

    Returns
    -------
    Found
    """
    missed: dict[str, None] = {}
    unread: dict[str, str] = {}
    alone, together = (_shapes(*pair, missed, unread) for pair in zip(traces, arguments, strict=True))
    # With two images, since other axes of length 1 may be confused with a batch axis of length 1.
    followed = axes_of_marks(traces[1], interface.axis_of)
    rows = {path: place for path in alone if (place := _rows_of(alone[path], together.get(path, ()))) is not None}
    folded = [path for path, (_, windows) in rows.items() if windows > 1]
    suspects = _suspects(traces, probe, rows) if probe is not None else []
    doubtful = [path for path in rows if path in folded or path in suspects]
    mixed = _mixed(doubtful, rows, arguments[1][-1], evaluate) if doubtful else []
    for path in set(mixed) & set(folded):
        del rows[path]
    layers, storage, unsure = [], {}, []
    last: dict[int, int] = {}
    for path in sorted(rows, key=OUTPUT.__eq__):
        shape, (batch, windows) = alone[path], rows[path]
        axis, known = _axis(path, followed.get(path), shape, batch, adapted, interface, last)
        if axis is not None and batch == 0:
            last[len(shape)] = axis
        storage[path] = Storage(axis, windows, batch)
        if not known:
            unsure.append(path)
        layers.append(_layer(path, shape, storage[path], adapted))
    lost = [path for path in alone if path not in rows]
    # A list of numbers may be anything, but where a model takes one image, it is an activation that does not depend on it.
    least = 1 if adapted.per_example else 2
    loose = tuple(path for path in lost if not is_part(path) and (len(alone[path]) >= least or path == OUTPUT))
    unread |= dict.fromkeys(lost, NO_ROWS)
    idle = {*adapted.kinds, *map(module_of, lost)} - {OUTPUT}
    unread |= {
        path: "it is not called, or returns no array of floats"
        for path in adapted.kinds
        if path not in unread and not any(module_of(known) == path for known in rows)
    }
    kept = tuple(path for path in mixed if path in rows)
    return Found(Layers(layers, name, idle), storage, tuple(missed), tuple(unsure), loose, kept, unread)


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


def _shapes(
    closed: Any, arguments: Sequence[Any], missed: dict[str, None], unread: dict[str, str]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all marks in forward order, from an abstract pass."""
    order: list[str] = []

    def read(*arguments: Array) -> dict[str, Array]:
        taps = Taps(None)
        interpret(closed, arguments, taps)
        order.extend(taps.values)
        missed.update(taps.missed)
        unread.update(taps.unread)
        return taps.values

    shapes = jax.eval_shape(read, *arguments)
    return {path: tuple(shapes[path].shape) for path in order}


def _suspects(traces: Sequence[Any], probe: Callable[[], Any], rows: Iterable[str]) -> list[str]:
    """Paths of marks in which images may influence each other; all if nothing is known."""
    found = in_doubt(*traces)
    if found is None:  # for one image, JAX leaves out axes of products
        found = in_doubt(traces[1], probe())
    return list(rows) if found is None else found


def _rows_of(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, int] | None:
    """The axis that is twice as long for two images as for one, and the windows per image in it; None if there is no such axis."""
    if len(one) != len(two):
        return None
    longer = [axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    if len(longer) != 1 or two[longer[0]] != 2 * one[longer[0]]:
        return None
    windows = one[longer[0]]
    # A list of numbers of all images has no channels.
    return None if len(one) == 1 and windows > 1 else (longer[0], windows)


def _mixed(paths: Sequence[str], rows: Mapping[str, tuple[int, int]], images: Any, evaluate: Evaluate) -> list[str]:
    """Return the paths at which the rows of an image change with the image before it in the batch."""
    random = np.random.default_rng(0).random((3, *images.shape[1:]))
    batches = [jnp.asarray(random[list(pair)], images.dtype) for pair in ((0, 2), (1, 2))]
    with jax.debug_nans(False), jax.debug_infs(False):
        results = evaluate(batches, paths)
    found = []
    for path in paths:
        axis, windows = rows[path]
        one, other = (np.moveaxis(np.asarray(result[path], np.float64), axis, 0)[windows:] for result in results)
        scale = np.abs(np.nan_to_num(one)).max(initial=0) + 1e-12
        # The program is the same, so that rounding is.
        if not np.allclose(one, other, rtol=0, atol=1e-3 * scale, equal_nan=True):
            found.append(path)
    return found


def _axis(
    path: str,
    followed: int | None,
    shape: tuple[int, ...],
    batch: int,
    adapted: Adapted,
    interface: Interface,
    last: Mapping[int, int],
) -> tuple[int | None, bool]:
    """Return the channel axis from the left, and whether it is known: stated, tracked, by convention, or guessed."""
    end = len(shape) - 1
    if end == 0:
        return None, True
    stated = interface.axis_of(path, name_of(path))
    if stated is not None:
        if not -end - 1 <= stated <= end or stated % len(shape) == batch:
            others = " or ".join(str(axis) for axis in range(end + 1) if axis != batch)
            raise InvalidParameter(
                f"channel_axis[{path!r}]",
                allowed=f"an axis from 1 to {end}, or -1" if batch == 0 else f"{others}, or -1 for the last",
                received=stated,
                fix=f"The activation has shape {shape}, with the batch axis {'first' if batch == 0 else f'at {batch}'}.",
            )
        return stated % len(shape), True
    if end == 1 or name_of(path).endswith(ATTENTION):
        return (end if batch != end else 0), True
    if followed is not None and followed != batch and (followed or batch):
        return followed, True
    if adapted.channels_last and batch != end:
        return end, True
    guess = last.get(len(shape), 1) if adapted.per_example and end > 2 else end
    return (guess if guess != batch else 0 if batch else 1), False


def _layer(path: str, shape: tuple[int, ...], storage: Storage, adapted: Adapted) -> Layer:
    module = module_of(path)
    parameters = adapted.parameters.get(module.removesuffix(ATTENTION), 0)
    kind = adapted.kinds.get(module, "Mark")
    if module.endswith(ATTENTION):
        kind = "Attention"
    elif module == OUTPUT:
        kind, parameters = "Output", adapted.parameters.get("", 0)
    rest = [side for place, side in enumerate(shape) if place not in (storage.batch, storage.axis)]
    channels = 1 if storage.axis is None else shape[storage.axis]
    inner = (*([storage.windows] if storage.windows > 1 else []), *rest, channels)
    # In a model of one image that is mapped over windows, only attention maps have a window axis.
    windows = inner[0] if kind == "Attention" and len(inner) == 4 else storage.windows
    part = "" if is_part(path) else adapted.mains.get(module, "")
    axis = -1 if storage.axis in (None, len(shape) - 1) else storage.axis
    return Layer(path, kind, inner, parameters, axis, windows, batch_axis=storage.batch, part=part)
