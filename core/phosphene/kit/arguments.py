"""Checks of arguments that analyses and results have in common: paths of layers, settings, executors, arrays and indices."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, PhospheneError, UnknownItem, said
from phosphene.kit.checks import LARGEST_ARRAY, instance, integer, names

__all__ = [
    "an_executor",
    "array_like",
    "capped",
    "chosen",
    "layer_paths",
    "optional_integer",
    "place",
    "places",
]

Made = TypeVar("Made")


def optional_integer(name: str, value: Any, *, minimum: int = 0, maximum: int | None = None) -> int | None:
    """Check an integer, or None; see `integer`."""
    return None if value is None else integer(name, value, minimum=minimum, maximum=maximum)


def chosen(name: str, value: Any, kind: type[Made]) -> Made:
    """Check settings of a class; None stands for the defaults."""
    return kind() if value is None else instance(name, value, kind, f"{kind.__name__}, or None", f"{kind.__name__}()")


def an_executor(value: Any, name: str = "executor") -> Executor | None:
    """Check an executor, or None."""
    if value is not None and not isinstance(value, Executor):
        raise InvalidParameter(
            name,
            allowed="a concurrent.futures.Executor, or None",
            received=value,
            fix=f"For example {name}=ThreadPoolExecutor(4).",
        )
    return value


def layer_paths(network: Network, value: Any, name: str = "layers") -> tuple[str, ...]:
    """Check paths of layers that a network has, each once; a single one counts as a sequence of one.

    Raises
    ------
    InvalidParameter
        If there is none, or one of them is not a string.
    UnknownLayer
        If the network does not have one of them.
    """
    fix = "net.layers lists the paths of all layers."
    paths = tuple(dict.fromkeys(names(name, value, fix=fix)))
    if not paths:
        raise InvalidParameter(name, allowed="at least one layer", received=value, fix=fix)
    for path in paths:
        network.layers[path]
    return paths


def array_like(name: str, value: Any, *, kinds: str = "iuf", allowed: str = "an array of numbers") -> NDArray[Any]:
    """Convert a NumPy array or nested lists to an array, whose numbers are of some kinds.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came.
    kinds : str, default "iuf"
        Kinds of dtypes, as NumPy abbreviates them: "iu" for integers. An empty array may have any.
    allowed : str, default "an array of numbers"
        What is accepted, for the message.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    InvalidParameter
        For anything else, and for more than `LARGEST_ARRAY` items.
    """
    fix = "Give a NumPy array, or nested lists of equal lengths."
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping, set, frozenset, type)):
        raise InvalidParameter(name, allowed=allowed, received=value, fix=fix)
    size = value.size if isinstance(value, np.ndarray) else len(value) if isinstance(value, range) else 0
    if size > LARGEST_ARRAY:
        raise InvalidParameter(
            name, allowed=f"{allowed}, at most {LARGEST_ARRAY:,}", received=said(f"{size:,}"), fix=fix
        )
    cause: Exception | None = None
    try:
        array = np.asarray(value)
        if array.dtype.kind in kinds or array.size == 0:
            return array
    except PhospheneError:
        raise
    except Exception as error:  # noqa: BLE001 (of lists of unequal lengths, and of conversions that are not ours)
        cause = error
    raise InvalidParameter(name, allowed=allowed, received=value, fix=fix) from cause


def place(name: str, value: Any, count: int) -> int:
    """Check the index of one of `count` items; negative indices count from the end.

    Returns
    -------
    int
        Counted from the start.

    Raises
    ------
    InvalidParameter
        For anything but an integer.
    UnknownItem
        For an index outside the range; it is an IndexError, so that a loop over items ends.
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise InvalidParameter(name, allowed="an integer", received=value, fix=f"For example {name}=0.")
    if not -count <= int(value) < count:
        raise UnknownItem(
            name,
            allowed=f"an index from 0 to {count - 1}, or from -1 back to {-count}"
            if count
            else "none: there is no item",
            received=value,
            fix="len() tells how many there are.",
        )
    return int(value) % count


def places(name: str, value: Any, count: int) -> int | range:
    """Check an index, or a slice, of `count` items; see `place`.

    Returns
    -------
    int or range
        Counted from the start.

    Raises
    ------
    InvalidParameter
        For anything but an integer or a slice of integers.
    UnknownItem
        For an index outside the range.
    """
    if not isinstance(value, slice):
        return place(name, value, count)
    ends = [end for end in (value.start, value.stop, value.step) if end is not None]
    whole = all(isinstance(end, (int, np.integer)) and not isinstance(end, bool) for end in ends)
    if not whole or (value.step is not None and int(value.step) == 0):
        raise InvalidParameter(
            name, allowed="an integer, or a slice of integers with a step", received=value, fix="For example [0:2]."
        )
    return range(count)[value]


def capped(name: str, value: Any, *, minimum: int, most: int) -> int:
    """Check an integer that is only limited so that a call ends; the limit is told to those who exceed it. See `integer`."""
    return integer(name, integer(name, value, minimum=minimum), minimum=minimum, maximum=most)
