"""Checks of arguments: each returns the checked value, or raises an error that says what is allowed and how to get there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from typing import Any, TypeVar

import numpy as np

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, nearest, said
from phosphene.types import Size

__all__ = ["canvas_size", "choice", "integer", "listed", "number", "one_per", "share"]

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
    low_enough = real and math.isfinite(value) and value <= maximum
    if not low_enough or value < minimum or (open_minimum and value == minimum):
        usual = example if example is not None else min(max(1.0, minimum), maximum)
        raise InvalidParameter(
            name, allowed=_range(minimum, maximum, open_minimum), received=value, fix=f"For example {name}={usual:g}."
        )
    return float(value)


def share(name: str, value: Any, *, zero: bool = True, example: float = 0.5) -> float:
    """Check a number in [0, 1], or in (0, 1] where `zero` is not allowed; see `number`."""
    return number(name, value, minimum=0.0, maximum=1.0, open_minimum=not zero, example=example)


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
    if size is None:
        return network.input.size
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or any(
        isinstance(side, bool) or not isinstance(side, (int, np.integer)) or side < 2 for side in pair
    ):
        raise InvalidParameter(
            "size", allowed="pixels: an integer of at least 2, or (height, width)", received=size, fix="size=96"
        )
    return int(pair[0]), int(pair[1])


def listed(options: Iterable[object]) -> str:
    """Options as a sentence lists them: ``'a', 'b' or 'c'``."""
    shown = [repr(option) for option in options]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _range(minimum: float, maximum: float, open_minimum: bool) -> str:
    low = f"above {minimum:g}" if open_minimum else f"of at least {minimum:g}"
    if math.isinf(minimum) and math.isinf(maximum):
        return "a finite number"
    if math.isinf(maximum):
        return f"a number {low}"
    if math.isinf(minimum):
        return f"a number of at most {maximum:g}"
    return f"a number {low} and at most {maximum:g}"
