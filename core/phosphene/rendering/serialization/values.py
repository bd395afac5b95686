"""Readers: plain data from a file that anyone may have written, converted to the types that the public functions take.

A reader takes the key of a value, for the message, and the value. It rejects what is of another type, not finite or unreasonably
large. Whether a value is meaningful is for the function to check that receives it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter, nearest, said
from phosphene.types import Floats

__all__ = [
    "MOST_NUMBERS",
    "Reader",
    "array",
    "boolean",
    "brief",
    "checked_depth",
    "checked_keys",
    "integer",
    "integer_or_text",
    "integers",
    "items",
    "number",
    "number_or_numbers",
    "numbers",
    "position",
    "size",
    "text",
]

Reader = Callable[[str, Any], Any]

MOST_DEPTH = 40
"""Levels of nesting; a sum of objectives takes two."""

MOST_NODES = 4_000_000
MOST_NUMBERS = 20_000
"""Numbers in one array: enough for a pattern of 12 x 12 positions and 128 channels, not for the activation of a layer."""

MOST_ITEMS = 10_000
LONGEST_TEXT = 1_000
LARGEST = 1e9


def number(where: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise InvalidParameter(
            where,
            allowed=f"a number within {LARGEST:g}",
            received=brief(value),
            fix="Write a finite number, such as 1.0.",
        )
    return value


def integer(least: int = 0, most: int = 2**31 - 1) -> Reader:
    """A reader of integers from `least` to `most`, both included."""

    def read(where: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidParameter(
                where,
                allowed=f"an integer from {least} to {most}",
                received=brief(value),
                fix=f"Write an integer, such as {max(least, 1)}.",
            )
        return value

    return read


def boolean(where: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidParameter(
            where, allowed="true or false", received=brief(value), fix="Write true or false, without quotation marks."
        )
    return value


def text(where: str, value: Any) -> str:
    """A text of 1 to `LONGEST_TEXT` characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise InvalidParameter(
            where,
            allowed=f"a text of 1 to {LONGEST_TEXT} characters",
            received=brief(value),
            fix="Write a text, in quotation marks.",
        )
    return value


def integer_or_text(where: str, value: Any) -> int | str:
    """An index or a name."""
    if isinstance(value, str):
        return text(where, value)
    found: int = integer()(where, value)
    return found


def items(each: Reader, least: int = 0, most: int = MOST_ITEMS) -> Reader:
    """A reader of lists of `least` to `most` items, each read by `each`."""

    def read(where: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise InvalidParameter(
                where,
                allowed=f"a list of {least} to {most} items"
                if least < most
                else f"a list of {least} item{'s' * (least != 1)}",
                received=brief(value),
                fix="Write the items in square brackets.",
            )
        return [each(f"{where}[{index}]", item) for index, item in enumerate(value)]

    return read


integers = items(integer(), 1)
numbers = items(number, 1)


def number_or_numbers(where: str, value: Any) -> float | list[float]:
    """A number, or a list of numbers."""
    if isinstance(value, list):
        found: list[float] = items(number)(where, value)
        return found
    return number(where, value)


def size(least: int, most: int) -> Reader:
    """A reader of one side or of (height, width), in pixels."""
    side = integer(least, most)

    def read(where: str, value: Any) -> int | tuple[int, int]:
        if not isinstance(value, list):
            found: int = side(where, value)
            return found
        height, width = items(side, 2, 2)(where, value)
        return height, width

    return read


def position(where: str, value: Any) -> str | tuple[int, ...]:
    """A position in a layer: indices, or the name of a token, "centre" or "mean"."""
    if isinstance(value, str):
        return text(where, value)
    return tuple(items(integer(), 1, 3)(where, value))


def array(axes: int) -> Reader:
    """A reader of an array with that many axes, written as nested lists of numbers."""

    def read(where: str, value: Any) -> Floats:
        rows: list[Any] = [value]
        shape: list[int] = []
        for _ in range(axes):
            lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
            shape.append(lengths.pop())
            if lengths or shape[-1] < 1 or math.prod(shape) > MOST_NUMBERS:
                raise InvalidParameter(
                    where,
                    allowed=f"an array of {axes} axes with 1 to {MOST_NUMBERS} numbers",
                    received=said("another one"),
                    fix="Write it as nested lists that have equal lengths at each level.",
                )
            rows = [item for row in rows for item in row]
        return np.asarray([number(where, item) for item in rows], np.float64).reshape(shape)

    return read


def checked_keys(where: str, data: Any, known: Iterable[str], required: Sequence[str] = ()) -> Mapping[str, Any]:
    """Check that data are a mapping without unknown keys and with all required ones.

    Parameters
    ----------
    where : str
        Key of the data, for messages.
    data : object
    known : iterable of str
        Keys that are allowed.
    required : sequence of str, optional
        Keys that must be there.

    Returns
    -------
    mapping of str to object

    Raises
    ------
    InvalidParameter
        If it is not a mapping, has an unknown key (the message names the nearest ones), or lacks a required one.
    """
    names = list(known)
    if not isinstance(data, Mapping):
        raise InvalidParameter(
            where, allowed="a table of keys and values", received=brief(data), fix=f"Its keys are {', '.join(names)}."
        )
    for key in data:
        if not isinstance(key, str) or key not in names:
            shown = key[:100] if isinstance(key, str) and key.isprintable() else "?"
            near = nearest(shown, names)
            raise InvalidParameter(
                f"{where}.{shown}",
                allowed=f"one of {', '.join(names)}" if names else "no further keys",
                received=brief(key),
                fix=f"Did you mean {near}?" if near else "Remove this key.",
            )
    for key in required:
        if key not in data:
            raise InvalidParameter(
                f"{where}.{key}", allowed="a value", received=said("none"), fix="Add this key; it has no default."
            )
    return data


def checked_depth(where: str, data: Any) -> None:
    """Check that data are not nested deeper, and do not hold more, than anything written by this package; without recursion."""
    level, count = [data], 0
    for _ in range(MOST_DEPTH):
        following: list[Any] = []
        for item in level:
            following.extend(item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ())
        count += len(following)
        if count > MOST_NODES:
            raise InvalidParameter(
                where, allowed=f"at most {MOST_NODES} values", received=said("more"), fix="Write fewer values."
            )
        if not following:
            return
        level = following
    raise InvalidParameter(
        where,
        allowed=f"data nested less than {MOST_DEPTH} levels deep",
        received=said("deeper data"),
        fix="Nest fewer sums and products.",
    )


def brief(value: Any) -> Any:
    """A value as messages show it: shortened, and without the digits of huge integers, which Python refuses to format."""
    if isinstance(value, (list, Mapping)):
        return said(f"a {'list' if isinstance(value, list) else 'table'} of length {len(value)}")
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    huge = isinstance(value, int) and value.bit_length() > 256
    return said("an integer of more than 256 bits") if huge else value
