"""Checks of arguments: each returns the checked value, or raises an error that says what is allowed and how to get there."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidParameter, PhospheneError, brief, nearest, said
from phosphene.interface import LARGEST_SIDE, pair_of
from phosphene.types import Size

__all__ = [
    "LARGEST_INTEGER",
    "LARGEST_SEED",
    "LARGEST_SIDE",
    "MOST_CHANNELS",
    "MOST_COLUMNS",
    "MOST_ITEMS",
    "a_network",
    "boolean",
    "canvas_size",
    "choice",
    "class_named",
    "floats",
    "instance",
    "integer",
    "integers",
    "is_network",
    "listed",
    "listed_or_one",
    "names",
    "number",
    "numbers",
    "one_per",
    "pair_of",
    "ranges",
    "seed_of",
    "sequence",
    "share",
    "text",
]

MOST_CHANNELS = 1 << 16
"""Most channels of an image."""

MOST_COLUMNS = 1000
"""Most columns of a figure."""

LARGEST_INTEGER = 2**63 - 1
"""Largest integer where no other limit is set: arrays and files hold no larger one."""

LARGEST_SEED = 2**128 - 1
"""Largest random seed: more would not make other pictures, and files keep no longer integers."""

MOST_ITEMS = 1_000_000
"""Most items of a sequence that is given as an argument; iterables that never end are stopped there."""

LONGEST_PATH = 4096
"""Bytes of the longest path that a system takes."""

LARGEST_ARRAY = 1 << 31
"""Most numbers of an array that is given as an argument."""

Items = TypeVar("Items", bound=Sized)
Made = TypeVar("Made")


def integer(name: str, value: Any, *, minimum: int = 0, maximum: int | None = None, limit: int | None = None) -> int:
    """Check an integer.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came. Booleans are not integers here.
    minimum : int, default 0
    maximum : int, optional
        Largest value that has a meaning.
    limit : int, optional
        Largest value that can be computed with, of which the message tells only where it is exceeded.

    Returns
    -------
    int

    Raises
    ------
    InvalidParameter
    """
    whole = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
    if maximum is None and whole is not None and whole > LARGEST_INTEGER:
        maximum = LARGEST_INTEGER
    if whole is None or whole < minimum or (maximum is not None and whole > maximum):
        raise InvalidParameter(
            name,
            allowed=f"an integer of at least {minimum}"
            if maximum is None
            else f"an integer from {minimum} to {maximum}",
            received=value,
            fix=f"For example {name}={max(minimum, 1) if maximum is None else min(max(minimum, 1), maximum)}.",
        )
    if limit is not None and whole > limit:
        raise InvalidParameter(
            name,
            allowed=f"an integer of at most {limit:,}",
            received=value,
            fix=f"For example {name}={max(minimum, 1)}.",
        )
    return whole


def seed_of(value: Any, name: str = "seed", *, ahead: int = 0) -> int:
    """Check a random seed, of which `ahead` following ones are used as well; see `integer`."""
    return integer(name, value, limit=LARGEST_SEED - ahead)


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
    real = _as_float(value)
    if real is None or not minimum <= real <= maximum or (open_minimum and real == minimum):
        usual = example if example is not None else min(max(1.0, minimum), maximum)
        raise InvalidParameter(
            name, allowed=_range(minimum, maximum, open_minimum), received=value, fix=f"For example {name}={usual:g}."
        )
    return real + 0.0  # without the sign of a zero


def share(name: str, value: Any, *, zero: bool = True, example: float = 0.5) -> float:
    """Check a number in [0, 1], or in (0, 1] where `zero` is not allowed; see `number`."""
    return number(name, value, minimum=0.0, maximum=1.0, open_minimum=not zero, example=example)


def a_network(value: Any, name: str = "network") -> Network:
    """Check a network; a model is not wrapped here, since its input size is not known."""
    if not is_network(value):
        raise InvalidParameter(
            name, allowed="a network", received=value, fix="Wrap a model first: ph.wrap(model, size=(224, 224))."
        )
    network: Network = value
    return network


def is_network(value: object) -> bool:
    """Whether a value is a network; an object whose attributes raise is none."""
    try:
        return isinstance(value, Network) and not isinstance(value, type)
    except Exception:  # noqa: BLE001 (of a class that is not ours)
        return False


def boolean(name: str, value: Any) -> bool:
    """Check a flag: True or False, and not something that merely counts as one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidParameter(name, allowed="True or False", received=value, fix=f"For example {name}=True.")
    return bool(value)


def text(name: str, value: Any, *, fix: str) -> str:
    """Check a string that is not empty, and that can be written to a file: without half of a character."""
    if not isinstance(value, str) or not value:
        raise InvalidParameter(name, allowed="a string that is not empty", received=value, fix=fix)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter(name, allowed="a string of whole characters", received=value, fix=fix) from error
    return str(value)


def names(name: str, value: Any, *, fix: str) -> tuple[str, ...]:
    """Check strings; a single one counts as a sequence of one, and is never gone through letter by letter."""
    items = (value,) if isinstance(value, str) else sequence(name, value, "a sequence of strings", fix)
    for item in items:
        if not isinstance(item, str):
            raise InvalidParameter(name, allowed="strings", received=value, fix=fix)
    return tuple(str(item) for item in items)


def integers(
    name: str,
    value: Any,
    *,
    minimum: int = 0,
    maximum: int | None = None,
    limit: int | None = None,
    fix: str | None = None,
) -> tuple[int, ...]:
    """Check integers; a single one counts as a sequence of one. See `integer`."""
    if isinstance(value, (int, np.integer)):
        return (integer(name, value, minimum=minimum, maximum=maximum, limit=limit),)
    items = sequence(name, value, "a sequence of integers", fix or f"For example {name}=(0, 1).")
    return tuple(integer(name, item, minimum=minimum, maximum=maximum, limit=limit) for item in items)


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
    """Check an array of real numbers, as nested lists or a NumPy array.

    Raises
    ------
    InvalidParameter
        For anything else, and for more than `LARGEST_ARRAY` numbers.
    """
    fix = "Give a NumPy array, or nested lists of equal lengths."
    size = values.size if isinstance(values, np.ndarray) else len(values) if isinstance(values, (range, bytes)) else 0
    if size > LARGEST_ARRAY:
        raise InvalidParameter(
            name, allowed=f"an array of at most {LARGEST_ARRAY:,} numbers", received=said(f"{size:,}"), fix=fix
        )
    cause: Exception | None = None
    try:
        array = np.asarray(values)
        if array.dtype.kind in "iufb" or array.size == 0:
            return array.astype(np.float64)
    except PhospheneError:
        raise
    except Exception as error:  # noqa: BLE001 (of lists of unequal lengths, and of conversions that are not ours)
        cause = error
    raise InvalidParameter(name, allowed="an array of numbers", received=values, fix=fix) from cause


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


def listed(options: Iterable[object]) -> str:
    """Options as a sentence lists them: ``'a', 'b' or 'c'``."""
    shown = [repr(option) for option in options]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def sequence(
    name: str, value: Any, allowed: str = "a sequence", fix: str = "Give a list.", *, most: int = MOST_ITEMS
) -> tuple[Any, ...]:
    """The items of a sequence; a string, a mapping and an array without axes are none here.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        What came: any iterable.
    allowed : str, default "a sequence"
        What is accepted, for the message.
    fix : str, default "Give a list."
        What to do, for the message.
    most : int, default `MOST_ITEMS`
        Most items. No more are taken from an iterable, so that one without an end is refused as well.

    Returns
    -------
    tuple

    Raises
    ------
    InvalidParameter
        If it is no sequence, has more items, or raises when it is gone through.
    """
    single = isinstance(value, (str, bytes, bytearray, memoryview, Mapping, type)) or not isinstance(value, Iterable)
    if single or (isinstance(value, np.ndarray) and value.ndim == 0):
        raise InvalidParameter(name, allowed=allowed, received=value, fix=fix)
    try:
        items = tuple(itertools.islice(iter(value), most + 1))
    except PhospheneError:
        raise
    except Exception as error:  # of an iterator that is not ours
        received = said(
            f"{brief(value)}, which raised {type(error).__name__}: {brief(str(error))} as it was gone through"
        )
        raise InvalidParameter(name, allowed=allowed, received=received, fix=fix) from error
    if len(items) > most:
        raise InvalidParameter(name, allowed=f"{allowed} with at most {most:,} items", received=said("more"), fix=fix)
    return items


def listed_or_one(name: str, value: Any, kinds: type | tuple[type, ...], what: str, example: str) -> tuple[Any, ...]:
    """Check items of given classes; a single one counts as a sequence of one.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : object
        An item, or an iterable of items.
    kinds : type or tuple of type
        Classes of the items.
    what : str
        What an item is, for the message: ``"a transform"``.
    example : str
        How one is made, for the message.

    Returns
    -------
    tuple

    Raises
    ------
    InvalidParameter
        If it is neither an item nor a sequence of items.
    """
    if isinstance(value, kinds):
        return (value,)
    plural = " and ".join(f"{part.removeprefix('a ')}s" for part in what.split(" or "))
    items = sequence(name, value, f"a list of {plural}", f"For example {name}=[{example}].")
    for index, item in enumerate(items):
        if not isinstance(item, kinds):
            raise InvalidParameter(f"{name}[{index}]", allowed=what, received=item, fix=f"For example {example}.")
    return items


def instance(name: str, value: Any, kind: type[Made], allowed: str, example: str) -> Made:
    """Check that a value is of a class, and is not that class itself."""
    if not isinstance(value, kind):
        raise InvalidParameter(name, allowed=allowed, received=value, fix=f"For example {example}.")
    return value


def ranges(name: str, value: Any, count: int, *, fix: str = "For example 0-15,20.") -> tuple[int, ...]:
    """Check indices: integers from 0, or text as on the command line, such as ``"0-15,20"``.

    Parameters
    ----------
    name : str
        The argument, as the caller wrote it.
    value : int, str or sequence of int
    count : int
        Number of things that are counted from 0. A range of a text is compared with it before it is written out; integers are
        compared by the caller.
    fix : str, optional
        What to do, for the message.

    Returns
    -------
    tuple of int

    Raises
    ------
    InvalidParameter
        If it is written otherwise, or if an index in a text is not below `count`.
    """
    if not isinstance(value, str):
        return integers(name, value, fix=fix)
    found: list[int] = []
    parts = value.split(",", MOST_RANGES)
    for part in parts if len(parts) <= MOST_RANGES else [""]:
        ends = RANGE.fullmatch(part)
        if ends is None:
            raise InvalidParameter(
                name, allowed="integers and ranges separated by commas", received=value, fix="For example 0-15,20."
            )
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not first <= last < count:
            raise InvalidParameter(
                name,
                allowed=f"integers and ranges from 0 to {count - 1}, the first of each before the last",
                received=value,
                fix="For example 0-15,20.",
            )
        found += range(first, last + 1)
    return tuple(found)


MOST_RANGES = 10_000
"""Most integers and ranges in one text."""

RANGE = re.compile(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*")


def _as_float(value: Any) -> float | None:
    """A real number as a float; None for all else, for what is not finite, and for integers beyond the range of floats."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return real if math.isfinite(real) else None


def _range(minimum: float, maximum: float, open_minimum: bool) -> str:
    low = f"above {minimum:g}" if open_minimum else f"of at least {minimum:g}"
    if math.isinf(minimum) and math.isinf(maximum):
        return "a finite number"
    if math.isinf(maximum):
        return f"a number {low}"
    if math.isinf(minimum):
        return f"a number of at most {maximum:g}"
    return f"a number {low} and at most {maximum:g}"
