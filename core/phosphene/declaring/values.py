"""Readers: plain data from a file that anyone may have written, as the types that the public functions take.

Each takes where the value stands (for the message) and the value, and refuses what is not of its type, not finite or absurdly
large. What is *allowed* beyond that is the business of the function that the value goes to.
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
    "brief",
    "checked_depth",
    "checked_keys",
    "items",
    "number",
    "number_or_numbers",
    "numbers",
    "place",
    "size",
    "text",
    "truth",
    "whole",
    "whole_or_text",
    "wholes",
]

Reader = Callable[[str, Any], Any]

MOST_DEPTH = 40
"""Levels of data within data: a sum of sums needs two each."""

MOST_NODES = 4_000_000
MOST_NUMBERS = 20_000
"""In one array: a pattern of 12 x 12 positions and 128 channels is written down, the activation of a whole layer is not."""

MOST_ITEMS = 10_000
LONGEST_TEXT = 1_000
LARGEST = 1e9


def number(where: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise InvalidParameter(where, allowed=f"a number within {LARGEST:g}", received=brief(value))
    return value


def whole(least: int = 0, most: int = 2**31 - 1) -> Reader:
    """A reader of integers within bounds, both included."""

    def read(where: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidParameter(where, allowed=f"an integer from {least} to {most}", received=brief(value))
        return value

    return read


def truth(where: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidParameter(where, allowed="true or false", received=brief(value))
    return value


def text(where: str, value: Any) -> str:
    """A text of moderate length."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise InvalidParameter(where, allowed=f"a text of 1 to {LONGEST_TEXT} characters", received=brief(value))
    return value


def whole_or_text(where: str, value: Any) -> int | str:
    """An index or a name."""
    if isinstance(value, str):
        return text(where, value)
    found: int = whole()(where, value)
    return found


def items(each: Reader, least: int = 0, most: int = MOST_ITEMS) -> Reader:
    """A reader of lists whose items `each` reads."""

    def read(where: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise InvalidParameter(where, allowed=f"a list of {least} to {most}", received=brief(value))
        return [each(f"{where}[{index}]", item) for index, item in enumerate(value)]

    return read


wholes = items(whole(), 1)
numbers = items(number, 1)


def number_or_numbers(where: str, value: Any) -> float | list[float]:
    """One number, or all that may be drawn."""
    if isinstance(value, list):
        found: list[float] = items(number)(where, value)
        return found
    return number(where, value)


def size(least: int, most: int) -> Reader:
    """A reader of one side or of (height, width)."""
    side = whole(least, most)

    def read(where: str, value: Any) -> int | tuple[int, int]:
        if not isinstance(value, list):
            found: int = side(where, value)
            return found
        height, width = items(side, 2, 2)(where, value)
        return height, width

    return read


def place(where: str, value: Any) -> str | tuple[int, ...]:
    """A position in a layer: indices, or the name of a token, "centre" or "mean"."""
    if isinstance(value, str):
        return text(where, value)
    return tuple(items(whole(), 1, 3)(where, value))


def array(axes: int) -> Reader:
    """A reader of nested lists of numbers, as deep as there are axes and of one length along each."""

    def read(where: str, value: Any) -> Floats:
        rows: list[Any] = [value]
        shape: list[int] = []
        for _ in range(axes):
            lengths = {len(row) if isinstance(row, list) else -1 for row in rows}
            shape.append(lengths.pop())
            if lengths or shape[-1] < 1 or math.prod(shape) > MOST_NUMBERS:
                raise InvalidParameter(
                    where, allowed=f"lists within lists, {axes} deep and even, of at most {MOST_NUMBERS} numbers",
                    received=said("others"),
                )  # fmt: skip
            rows = [item for row in rows for item in row]
        return np.asarray([number(where, item) for item in rows], np.float64).reshape(shape)

    return read


def checked_keys(where: str, data: Any, known: Iterable[str], required: Sequence[str] = ()) -> Mapping[str, Any]:
    """`data` as a mapping without unknown keys and with all that are required.

    Parameters
    ----------
    where : str
        Where it stands.
    data : object
    known : iterable of str
    required : sequence of str, optional

    Returns
    -------
    mapping of str to object

    Raises
    ------
    InvalidParameter
        For what is no mapping; for an unknown key, with the nearest ones; for one that is missing.
    """
    if not isinstance(data, Mapping):
        raise InvalidParameter(where, allowed="names with values", received=brief(data))
    names = list(known)
    for key in data:
        if not isinstance(key, str) or key not in names:
            shown = key[:100] if isinstance(key, str) and key.isprintable() else "?"
            near = nearest(shown, names)
            raise InvalidParameter(
                f"{where}.{shown}", allowed=f"one of {', '.join(names)}" if names else "nothing there",
                received=brief(key), fix=f"Did you mean {near}?" if near else "",
            )  # fmt: skip
    for key in required:
        if key not in data:
            raise InvalidParameter(f"{where}.{key}", allowed="a value", received=said("none"), fix="It has no default.")
    return data


def checked_depth(where: str, data: Any) -> None:
    """Refuse data nested deeper, or with more in it, than anything that is written here; without recursion."""
    level, count = [data], 0
    for _ in range(MOST_DEPTH):
        following: list[Any] = []
        for item in level:
            following.extend(item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ())
        count += len(following)
        if count > MOST_NODES:
            raise InvalidParameter(where, allowed=f"at most {MOST_NODES} values", received=said("more"))
        if not following:
            return
        level = following
    raise InvalidParameter(where, allowed=f"data nested less than {MOST_DEPTH} deep", received=said("a deeper one"))


def brief(value: Any) -> Any:
    """What is shown of a value that may be very long; an integer of thousands of digits Python refuses to write at all."""
    if isinstance(value, (list, Mapping)):
        return said(f"a {'list' if isinstance(value, list) else 'table'} of {len(value)}")
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    huge = isinstance(value, int) and value.bit_length() > 256
    return said("an integer beyond all bounds") if huge else value
