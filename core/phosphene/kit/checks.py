"""Checks of arguments: each returns the checked value, or raises an error that says what is allowed and how to get there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.types import Size

__all__ = [
    "LARGEST_SIDE",
    "a_network",
    "boolean",
    "canvas_size",
    "choice",
    "class_named",
    "floats",
    "integer",
    "integers",
    "listed",
    "names",
    "number",
    "numbers",
    "one_per",
    "pair_of",
    "sequence",
    "share",
    "text",
]

LARGEST_SIDE = 1 << 14
"""Largest side of a picture in pixels: a larger one does not fit into memory, several times over."""

Items = TypeVar("Items", bound=Sized)


def integer(name: str, value: Any, *, minimum: int = 0, maximum: int | None = None) -> int:
    """Check an integer.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came. Booleans are not integers here.
    minimum : int, default 0
    maximum : int, optional

    Returns
    -------
    int

    Raises
    ------
    InvalidParameter
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        raise InvalidParameter(
            name,
            allowed=f"an integer of at least {minimum}"
            if maximum is None
            else f"an integer from {minimum} to {maximum}",
            received=value,
            fix=f"For example {name}={max(minimum, 1) if maximum is None else min(max(minimum, 1), maximum)}.",
        )
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    open_minimum: bool = False,
    example: float | None = None,
) -> float:
    """Check a finite number.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came. Booleans are not numbers here.
    minimum, maximum : float, optional
        Smallest and largest value that is allowed.
    open_minimum : bool, default False
        Whether `minimum` itself is excluded.
    example : float, optional
        A usual value, for the message (default: the nearest bound, or 1).

    Returns
    -------
    float

    Raises
    ------
    InvalidParameter
    """
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    low_enough = real and _finite(value) and value <= maximum
    if not low_enough or value < minimum or (open_minimum and value == minimum):
        usual = example if example is not None else min(max(1.0, minimum), maximum)
        raise InvalidParameter(
            name, allowed=_range(minimum, maximum, open_minimum), received=value, fix=f"For example {name}={usual:g}."
        )
    return float(value)


def share(name: str, value: Any, *, zero: bool = True, example: float = 0.5) -> float:
    """Check a number in [0, 1], or in (0, 1] where `zero` is not allowed; see `number`."""
    return number(name, value, minimum=0.0, maximum=1.0, open_minimum=not zero, example=example)


def a_network(value: Any, name: str = "network") -> Network:
    """Check a network; a model is not wrapped here, since its input size is not known."""
    if not isinstance(value, Network):
        raise InvalidParameter(
            name, allowed="a network", received=value, fix="Wrap a model first: ph.wrap(model, size=(224, 224))."
        )
    return value


def boolean(name: str, value: Any) -> bool:
    """Check a flag: True or False, and not something that merely counts as one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidParameter(name, allowed="True or False", received=value, fix=f"For example {name}=True.")
    return bool(value)


def text(name: str, value: Any, *, fix: str) -> str:
    """Check a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidParameter(name, allowed="a string that is not empty", received=value, fix=fix)
    return str(value)


def names(name: str, value: Any, *, fix: str) -> tuple[str, ...]:
    """Check strings; a single one counts as a sequence of one, and is never gone through letter by letter."""
    items = (value,) if isinstance(value, str) else sequence(name, value, "a sequence of strings", fix)
    for item in items:
        if not isinstance(item, str):
            raise InvalidParameter(name, allowed="strings", received=value, fix=fix)
    return tuple(str(item) for item in items)


def integers(
    name: str, value: Any, *, minimum: int = 0, maximum: int | None = None, fix: str | None = None
) -> tuple[int, ...]:
    """Check integers; a single one counts as a sequence of one. See `integer`."""
    if isinstance(value, (int, np.integer)):
        return (integer(name, value, minimum=minimum, maximum=maximum),)
    items = sequence(name, value, "a sequence of integers", fix or f"For example {name}=(0, 1).")
    return tuple(integer(name, item, minimum=minimum, maximum=maximum) for item in items)


def numbers(
    name: str, value: Any, *, minimum: float = -math.inf, open_minimum: bool = False, fix: str | None = None
) -> tuple[float, ...]:
    """Check finite numbers; a single one counts as a sequence of one. See `number`."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return (number(name, value, minimum=minimum, open_minimum=open_minimum),)
    items = sequence(name, value, "a number or a sequence of numbers", fix or f"For example {name}=(0.5, 0.5, 0.5).")
    return tuple(number(name, item, minimum=minimum, open_minimum=open_minimum) for item in items)


def class_named(classes: Sequence[str], wanted: str) -> int | None:
    """Return the index of the class of a name, or None if there is none.

    Raises
    ------
    InvalidParameter
        If several classes have that name.
    """
    same = [index for index, name in enumerate(classes) if name == wanted]
    if len(same) > 1:
        raise InvalidParameter(
            "class",
            allowed=f"the index of one of the {len(same)} classes of that name, {listed(same)}",
            received=wanted,
            fix=f"For example ph.logit({same[0]}), or {same[0]} on the command line.",
        )
    return same[0] if same else None


def floats(name: str, values: Any) -> NDArray[np.float64]:
    """Check an array of real numbers, as nested lists or a NumPy array."""
    try:
        array = np.asarray(values)
        if array.dtype.kind in "iufb" or array.size == 0:
            return array.astype(np.float64)
    except (TypeError, ValueError):  # of lists of unequal lengths
        pass
    raise InvalidParameter(
        name,
        allowed="an array of numbers",
        received=values,
        fix="Give a NumPy array, or nested lists of equal lengths.",
    )


def choice(name: str, value: Any, options: Iterable[str], *, fix: str | None = None) -> str:
    """Check that a string is one of a few.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came.
    options : iterable of str
        What is allowed, in the order of the message.
    fix : str, optional
        What to do when no option resembles `value` (default: an example).

    Returns
    -------
    str

    Raises
    ------
    InvalidParameter
        With the options that resemble `value`, if any.
    """
    known = list(options)
    if isinstance(value, str) and value in known:
        return value
    near = nearest(value[:100], known) if isinstance(value, str) else ""
    advice = f"Did you mean {near}?" if near else fix or f"For example {name}={known[0]!r}."
    raise InvalidParameter(name, allowed=listed(known), received=value, fix=advice)


def one_per(name: str, items: Items, count: int, what: str, *, single: bool = False) -> Items:
    """Check that there is one item per something.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    items : sized
        What came.
    count : int
        How many there must be.
    what : str
        What each item belongs to, in the singular: "objective", "image".
    single : bool, default False
        Whether one item for all of them is allowed as well.

    Returns
    -------
    sized
        `items`, as they are.

    Raises
    ------
    InvalidParameter
    """
    if len(items) == count or (single and len(items) == 1):
        return items
    allowed = f"{count} item{'s' * (count != 1)} (one per {what})"
    if single and count != 1:
        allowed = f"1 item, or {allowed}"
    fix = f"Give one per {what}" + (", or one for all of them." if single else ".")
    raise InvalidParameter(name, allowed=allowed, received=said(f"{len(items)}"), fix=fix)


def canvas_size(network: Network, size: int | Size | None) -> Size:
    """Height and width of the pictures in pixels (default: the network's own).

    Raises
    ------
    InvalidParameter
        For anything but an integer of at least 2, or two of them.
    """
    return network.input.size if size is None else pair_of("size", size, minimum=2)


def pair_of(name: str, size: Any, *, minimum: int = 1) -> Size:
    """Check a height and a width in pixels, or one integer for both.

    Raises
    ------
    InvalidParameter
        For anything but an integer from `minimum` to `LARGEST_SIDE`, or two of them.
    """
    pair: tuple[Any, ...] = ()
    if isinstance(size, (int, np.integer)):
        pair = (size, size)
    elif isinstance(size, (tuple, list, np.ndarray)):
        pair = tuple(size)
    if len(pair) != 2 or any(
        isinstance(side, bool) or not isinstance(side, (int, np.integer)) or side < minimum for side in pair
    ):
        raise InvalidParameter(
            name,
            allowed=f"pixels: an integer of at least {minimum}, or (height, width)",
            received=size,
            fix=f"For example {name}=96.",
        )
    if max(pair) > LARGEST_SIDE:
        raise InvalidParameter(
            name, allowed=f"at most {LARGEST_SIDE} pixels per side", received=size, fix=f"For example {name}=224."
        )
    return int(pair[0]), int(pair[1])


def listed(options: Iterable[object]) -> str:
    """Options as a sentence lists them: ``'a', 'b' or 'c'``."""
    shown = [repr(option) for option in options]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def sequence(name: str, value: Any, allowed: str = "a sequence", fix: str = "Give a list.") -> tuple[Any, ...]:
    """The items of a sequence; a string and a mapping are none here."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise InvalidParameter(name, allowed=allowed, received=value, fix=fix)
    return tuple(value)


def _finite(value: Any) -> bool:
    """Whether a real number is finite; integers beyond the range of floats are not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _range(minimum: float, maximum: float, open_minimum: bool) -> str:
    low = f"above {minimum:g}" if open_minimum else f"of at least {minimum:g}"
    if math.isinf(minimum) and math.isinf(maximum):
        return "a finite number"
    if math.isinf(maximum):
        return f"a number {low}"
    if math.isinf(minimum):
        return f"a number of at most {maximum:g}"
    return f"a number {low} and at most {maximum:g}"
