"""Values that nobody means, and a runner that says how a call with one of them ended.

A call with an odd value may work, or be refused by a named error. Anything else is a fault: an exception of Python's or of a
framework's own, a call that does not end, and one that takes more memory than any small call needs.
"""

from __future__ import annotations

import contextlib
import decimal
import enum
import faulthandler
import fractions
import importlib.util
import itertools
import math
import pathlib
import signal
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phosphene.errors import PhospheneError

__all__ = ["ENDLESS", "ODD", "RAW", "REFUSED", "WORKED", "Outcome", "calls_with_odd_values", "odd_value", "tried"]

WORKED, REFUSED, RAW, ENDLESS = "worked", "refused", "raw", "endless"
DOCUMENTED: tuple[type[BaseException], ...] = (PhospheneError, FileNotFoundError, KeyboardInterrupt)
"""What a public function may raise."""


class Raises:
    """An object of which one special method, or each of several, raises; the others are those of a sequence of two."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def _may(self, method: str) -> None:
        if method in self.methods:
            raise ArithmeticError(f"{method} of an odd value")

    def __repr__(self) -> str:
        self._may("repr")
        return f"Raises{self.methods}"

    def __str__(self) -> str:
        self._may("str")
        return repr(self)

    def __len__(self) -> int:
        self._may("len")
        return 2

    def __iter__(self) -> Iterator[int]:
        self._may("iter")
        return iter((0, 1))

    def __getitem__(self, index: int) -> int:
        self._may("getitem")
        return (0, 1)[index]

    def __eq__(self, other: object) -> bool:
        self._may("eq")
        return self is other

    def __hash__(self) -> int:
        self._may("hash")
        return 0

    def __bool__(self) -> bool:
        self._may("bool")
        return True

    def __array__(self, *given: Any, **named: Any) -> Any:
        self._may("array")
        return np.asarray([0, 1])


class RaisesOnAttributes:
    """An object every attribute of which raises something other than AttributeError."""

    def __getattr__(self, name: str) -> Any:
        raise ArithmeticError(f"attribute {name} of an odd value")


class RaisingInteger(int):
    """An integer that cannot be compared."""

    def __lt__(self, other: object) -> bool:
        raise ArithmeticError("an odd comparison")

    __gt__ = __le__ = __ge__ = __lt__  # type: ignore[assignment]


class Text(str):
    """A string of a class of its own."""


class Colour(enum.Enum):
    RED = 1


def _deep(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def _circular() -> list[Any]:
    made: list[Any] = [1]
    made.append(made)
    return made


def _tensor(make: str, *given: Any) -> Callable[[], Any]:
    def made() -> Any:
        import torch

        return getattr(torch, make)(*given)

    return made


def _jax(given: Any) -> Callable[[], Any]:
    def made() -> Any:
        import jax.numpy as jnp

        return jnp.asarray(given)

    return made


def _structured() -> Any:
    return np.zeros(2, dtype=[("a", "i4"), ("b", "f4")])


ODD: dict[str, Callable[[], Any]] = {
    # Nothing, flags, numbers
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "np.True_": lambda: np.True_,
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "minus zero": lambda: -0.0,
    "2.0": lambda: 2.0,
    "2.7": lambda: 2.7,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "minus inf": lambda: -math.inf,
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "10**6": lambda: 10**6,
    "10**9": lambda: 10**9,
    "10**18": lambda: 10**18,
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "2**70": lambda: 2**70,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-10**5000": lambda: -(10**5000),
    "-2**65": lambda: -(2**65),
    "1j": lambda: 1j,
    "nan j": lambda: complex(math.nan, 1),
    "Decimal": lambda: decimal.Decimal("2"),
    "Decimal sNaN": lambda: decimal.Decimal("sNaN"),
    "Fraction": lambda: fractions.Fraction(1, 2),
    "np.float32": lambda: np.float32(0.5),
    "np.float32 nan": lambda: np.float32("nan"),
    "np.float16 2": lambda: np.float16(2),
    "np.int64": lambda: np.int64(3),
    "np.int8 -1": lambda: np.int8(-1),
    "np.uint64 top": lambda: np.uint64(2**64 - 1),
    "np.complex64": lambda: np.complex64(1j),
    "np.datetime64": lambda: np.datetime64("2020-01-01"),
    "integer that raises": lambda: RaisingInteger(3),
    "enum": lambda: Colour.RED,
    # Text
    "empty text": lambda: "",
    "blank": lambda: " ",
    "digit": lambda: "3",
    "text": lambda: "cat",
    "letters": lambda: "jitter",
    "NUL": lambda: "a\x00b",
    "surrogate": lambda: "a\ud800b",
    "newline": lambda: "a\nb\x1b[31m",
    "bidirectional": lambda: "\u202egnp.cat",
    "long text": lambda: "x" * 10**6,
    "long dotted text": lambda: "a." * 20_000,
    "long digits": lambda: "9" * 20_000,
    "unit": lambda: "conv:1",
    "range of units": lambda: "conv:0-1",
    "huge range of units": lambda: "conv:0-99999999",
    "huger range of units": lambda: "conv:0-" + "9" * 50,
    "backward range of units": lambda: "conv:5-1",
    "unit at": lambda: "conv:1@0,0",
    "unit far away": lambda: "conv:1@999999,0",
    "unit of surrogate": lambda: "\udcff:1",
    "colon": lambda: ":",
    "only all": lambda: ":all",
    "brackets": lambda: "[" * 5000,
    "parentheses of patterns": lambda: "(((a+)+)+)$",
    "percent": lambda: "%s%n{0}{x!r}$HOME",
    "np.str_": lambda: np.str_("cat"),
    "str subclass": lambda: Text("cat"),
    "bytes": lambda: b"cat",
    "bytearray": lambda: bytearray(b"\xff\x00"),
    "memoryview": lambda: memoryview(b"abc"),
    "path": lambda: pathlib.Path("no such place"),
    "path of NUL": lambda: pathlib.Path("a\x00b"),
    # Containers
    "empty list": list,
    "empty tuple": tuple,
    "empty dict": dict,
    "empty set": set,
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset(("a",)),
    "dict": lambda: {"a": 1},
    "dict of integers": lambda: {0: 1.0, 1: math.nan},
    "mapping proxy": lambda: types.MappingProxyType({"a": 1}),
    "list of None": lambda: [None, None],
    "list of text": lambda: ["conv", "head"],
    "list of numbers": lambda: [0, 1],
    "list of flags": lambda: [True, False],
    "list of floats": lambda: [0.5, 1.5, 2.0],
    "list of nan": lambda: [math.nan] * 3,
    "list of huge": lambda: [10**18, -(10**18)],
    "mixed list": lambda: [1, "a", None, 2.5, object()],
    "ragged": lambda: [[1], [1, 2]],
    "list of objects": lambda: [object()],
    "list of classes": lambda: [int, str],
    "list of generators": lambda: [iter(()), iter(())],
    "deep list": lambda: _deep(5000),
    "circular list": _circular,
    "long list": lambda: list(range(20_000)),
    "long list of text": lambda: [f"a.b{index}" for index in range(20_000)],
    "range": lambda: range(3),
    "huge range": lambda: range(10**12),
    "generator": lambda: (index for index in range(3)),
    "empty generator": lambda: iter(()),
    "endless generator": lambda: itertools.count(),
    "endless generator of text": lambda: itertools.repeat("conv:0"),
    "generator that raises": lambda: (1 // index for index in (1, 0)),
    "zip": lambda: zip((0,), (1,), strict=True),
    # Arrays
    "0-d integer": lambda: np.asarray(2),
    "0-d float": lambda: np.asarray(2.0),
    "0-d flag": lambda: np.asarray(True),
    "0-d text": lambda: np.asarray("conv"),
    "0-d object": lambda: np.asarray(None),
    "empty array": lambda: np.zeros(0),
    "empty images": lambda: np.zeros((0, 8, 8, 3), np.float32),
    "ones": lambda: np.ones(3),
    "integers": lambda: np.arange(3),
    "matrix": lambda: np.ones((2, 2)),
    "array of nan": lambda: np.full((8, 8, 3), np.nan, np.float32),
    "array of flags": lambda: np.ones(3, bool),
    "array of text": lambda: np.asarray(["conv", "head"]),
    "array of objects": lambda: np.asarray([None, object()], object),
    "array of complex": lambda: np.ones(3, complex),
    "array of dates": lambda: np.zeros(3, "datetime64[D]"),
    "structured array": _structured,
    "many axes": lambda: np.ones((1,) * 30),
    "broadcast giant": lambda: np.broadcast_to(np.float32(0.5), (10**5, 10**5, 3)),
    "longdouble": lambda: np.ones(3, np.longdouble),
    "float16 array": lambda: np.ones(3, np.float16),
    "masked array": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    # Objects
    "object": object,
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "class": lambda: int,
    "class of arrays": lambda: np.ndarray,
    "exception": lambda: ValueError("odd"),
    "module": lambda: math,
    "function": lambda: len,
    "function of nothing": lambda: lambda: None,
    "function of anything": lambda: lambda *given, **named: None,
    "function that raises": lambda: lambda *given, **named: 1 // 0,
    "slice": lambda: slice(1, None),
    "random generator": lambda: np.random.default_rng(0),
    "attributes that raise": RaisesOnAttributes,
    **{
        f"{method} that raises": (lambda given: lambda: Raises(given))(method)
        for method in ("repr", "len", "iter", "getitem", "eq", "hash", "bool", "array")
    },
    "everything raises": lambda: Raises("repr", "str", "len", "iter", "getitem", "eq", "hash", "bool", "array"),
    "list of what raises": lambda: [Raises("repr", "eq", "hash", "bool", "array", "len", "iter")],
}
"""Odd values by name. Each call makes a new one, since generators are used up."""

if importlib.util.find_spec("torch"):
    ODD |= {
        "tensor": _tensor("ones", 3),
        "0-d tensor": _tensor("tensor", 2),
        "0-d float tensor": _tensor("tensor", 2.5),
        "tensor of nothing": _tensor("zeros", 0),
        "torch dtype": lambda: importlib.import_module("torch").float32,
        "torch device": _tensor("device", "cpu"),
        "torch module": lambda: importlib.import_module("torch").nn.Identity(),
        "torch class": lambda: importlib.import_module("torch").nn.Linear,
    }
if importlib.util.find_spec("jax"):
    ODD |= {"jax array": _jax([1.0, 2.0]), "0-d jax array": _jax(2)}


def odd_value(name: str) -> Any:
    """A new value of that name."""
    return ODD[name]()


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes
    ----------
    kind : "worked", "refused", "raw" or "endless"
    value : object
        What it returned, if it worked.
    error : BaseException or None
        What it raised.
    story : str
        The last lines of the traceback of what it raised.
    """

    kind: str
    value: Any = None
    error: BaseException | None = None
    story: str = ""

    @property
    def fine(self) -> bool:
        """Whether it worked, or was refused by a named error."""
        return self.kind in (WORKED, REFUSED)


class TooLong(BaseException):
    """A call has not ended in the time that it was given. No ``except Exception`` catches it."""


@contextlib.contextmanager
def _limited_time(seconds: float) -> Iterator[None]:
    """A context that raises `TooLong` after some seconds; code that never returns to Python ends the process, with a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    with contextlib.suppress(ValueError, OSError, AttributeError):  # a captured standard error stream has no descriptor
        faulthandler.dump_traceback_later(6 * seconds, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again and again: the first may be swallowed by a `finally`
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _limited_memory(size: int | None) -> Iterator[None]:
    """A context in which no more than `size` further bytes of addresses can be had, where the system can limit them."""
    if size is None or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + size if hard == resource.RLIM_INFINITY else min(used + size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def tried(call: Callable[[], Any], seconds: float = 20, memory: int | None = 3 << 30) -> Outcome:
    """Call a function of no arguments, and return how that ended.

    Parameters
    ----------
    call : callable
    seconds : float, default 20
        After which it counts as endless.
    memory : int or None, default 3 GiB
        Bytes that it may take beyond what the process has; None where a framework reserves more at a time.
    """
    try:
        with warnings.catch_warnings(), _limited_time(seconds), _limited_memory(memory):
            warnings.simplefilter("ignore")
            value = call()
    except TooLong as error:
        return Outcome(ENDLESS, error=error, story=_story(error))
    except DOCUMENTED as error:
        return Outcome(REFUSED, error=error, story=_story(error))
    except BaseException as error:  # noqa: BLE001 (what it is tells)
        return Outcome(RAW, error=error, story=_story(error))
    return Outcome(WORKED, value)


def _story(error: BaseException) -> str:
    try:
        said = str(error)[:300]
        said.encode()
    except Exception as failed:  # noqa: BLE001 (the message itself cannot be shown)
        said = f"(a message that cannot be shown: {type(failed).__name__})"
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return "".join(f"{pathlib.Path(f.filename).name}:{f.lineno} {f.name}; " for f in frames) + (
        f"{type(error).__name__}: {said}"
    )


def calls_with_odd_values(
    random: np.random.Generator,
    table: Sequence[tuple[str, Callable[..., Any], dict[str, Callable[[], Any]]]],
    count: int,
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Draw calls of the functions of a table in which one or two arguments are odd.

    Parameters
    ----------
    random : numpy.random.Generator
    table : sequence of (name, function, arguments)
        `arguments` has a maker of a valid value for each argument. Every function is drawn equally often.
    count : int
        Number of calls.

    Yields
    ------
    (str, callable)
        The call in words, and a function of no arguments that makes it.
    """
    odd = sorted(ODD)
    for index in range(count):
        name, function, makers = table[index % len(table)]
        number = min(len(makers), 1 + (random.random() < 0.25))
        chosen = [str(key) for key in random.choice(sorted(makers), number, replace=False)] if makers else []
        values = {key: odd[random.integers(len(odd))] for key in chosen}

        def call(
            function: Callable[..., Any] = function,
            makers: dict[str, Callable[[], Any]] = makers,
            values: dict[str, str] = values,
        ) -> Any:
            return function(
                **{key: odd_value(values[key]) if key in values else make() for key, make in makers.items()}
            )

        yield f"{name}({', '.join(f'{key}=<{value}>' for key, value in values.items())})", call
