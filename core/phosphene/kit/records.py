"""Dataclasses from plain JSON and arrays: the type of each field declares what is read, and nothing else is believed.

For arrays, sequences and mappings of arrays, `typing.Annotated` adds the axes: ``Annotated[NDArray[np.float32], "N H W C"]``.
Axes of the same name have the same size within a dataclass, ``_`` is any size, ``...`` any further axes, and ``|`` separates
alternatives. For numbers it adds the range: ``Annotated[int, Between(1, 9)]``. What depends on several fields, a dataclass
checks in its ``__post_init__``.

A class variable ``added`` names fields that files of earlier versions lack, and ``open_ended`` says that fields which are not
known, of later versions, are passed over instead of refused.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Between", "Mismatch", "Take", "from_arrays", "rebuilt", "record_of"]

Kept = TypeVar("Kept")
Arrays = dict[str, NDArray[Any]]
Take = Callable[[str], NDArray[Any]]
"""Returns the array of an entry; KeyError for an entry that does not exist or was taken before."""


class Mismatch(ValueError):
    """A value that is not what its field declares."""

    def __init__(self, where: str, allowed: str, received: str) -> None:
        self.where, self.allowed, self.received = where, allowed, received
        super().__init__(f"{where[:100]}: expected {allowed}, got {received}")


@dataclass(frozen=True)
class Between:
    """The range of a number, both ends included."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def holds(self, value: Any) -> bool:
        """Whether a number is within the range; NaN, a measure that could not be taken, is."""
        return bool(self.minimum <= value <= self.maximum or value != value)

    def __str__(self) -> str:
        low, high = (f"{end:g}" if abs(end) < 1e6 else f"{end:,}" for end in (self.minimum, self.maximum))
        if math.isinf(self.maximum):
            return f"of at least {low}"
        return f"of at most {high}" if math.isinf(self.minimum) else f"from {low} to {high}"


def rebuilt(cls: type[Kept], words: Mapping[str, Any], arrays: Arrays | Take) -> Kept:
    """Build a dataclass from its fields as JSON and its arrays, each checked against the declaration.

    Raises
    ------
    ValueError
        For a field that is missing, unknown, or not what the class declares.
    """
    if not isinstance(words, Mapping):
        raise ValueError(f"expected a mapping of its fields, got {words!r:.40}")
    take = arrays if callable(arrays) else dict(arrays).pop
    made: Kept = record_of(cls).read({k: v for k, v in words.items() if k not in ("format", "kind")}, "", take, {})
    return made


def from_arrays(cls: type[Kept], arrays: Mapping[str, NDArray[Any]]) -> Kept:
    """Build a dataclass from arrays by the names of its fields; plain values are arrays too, and any other array is left out.

    Raises
    ------
    ValueError
        For a field that is missing, or not what the class declares.
    """
    words: dict[str, Any] = {}
    for name, codec in record_of(cls).codecs.items():
        if name not in arrays:
            raise ValueError(f"{name}: a field that is missing")
        plain = isinstance(codec, (_Scalar, _Sequence))
        words[name] = arrays[name].tolist() if plain else name
    return rebuilt(cls, words, dict(arrays))


class _Codec(Protocol):
    """Writes values of a type as JSON and arrays, and reads them back; `where` names the value in errors."""

    def write(self, value: Any, where: str, arrays: Arrays) -> Any: ...

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any: ...


def _codec(hint: Any, axes: str = "") -> _Codec:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(arguments[1], Between):
        return _Scalar(arguments[0], arguments[1])
    if origin is Annotated:
        return _codec(*arguments[:2])
    if hint is Any:
        return _Plain()
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return _Optional(_codec(inner, axes))
    if origin is np.ndarray:
        (scalar,) = get_args(arguments[1])
        return _Array(np.dtype(np.float64 if get_origin(scalar) is np.floating else scalar), axes)
    if origin is tuple and arguments[-1] is Ellipsis:
        return _Sequence((_codec(arguments[0]),), axes)
    if origin is tuple:
        return _Sequence(tuple(map(_codec, arguments)), str(len(arguments)))
    if origin is not None and issubclass(origin, Mapping):
        return _Mapping(_codec(arguments[0]), _codec(arguments[1], axes))
    return record_of(hint) if is_dataclass(hint) else _Scalar(hint)


@dataclass(frozen=True)
class _Array:
    dtype: np.dtype[Any]
    axes: str

    def write(self, value: Any, where: str, arrays: Arrays) -> str:
        name = where
        while name in arrays:
            name += "_"
        arrays[name] = np.asarray(value)
        return name

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> NDArray[Any]:
        kind = {"f": "floats", "i": "integers", "u": "unsigned integers", "b": "booleans"}[self.dtype.kind]
        if isinstance(node, list):  # as PNGs and format 1 have them; None is NaN
            array = _numbers(node, self.dtype, kind, where)
        else:
            try:
                array = take(node)
            except (KeyError, TypeError) as error:
                raise Mismatch(where, f"an array of {kind}", "no entry of the archive") from error
        if array.dtype.kind != self.dtype.kind:
            raise Mismatch(where, f"an array of {kind}", f"one of {array.dtype}")
        _check_axes(array.shape, self.axes, where, sizes)
        return array


@dataclass(frozen=True)
class _Sequence:
    items: tuple[_Codec, ...]
    """Of a sequence of any length, one for all."""
    axes: str

    def _codecs(self, count: int) -> tuple[_Codec, ...]:
        return self.items * count if len(self.items) == 1 else self.items

    def write(self, value: Any, where: str, arrays: Arrays) -> list[Any]:
        if not isinstance(value, (tuple, list)):
            raise Mismatch(where, "a tuple", _shown(value))
        _check_axes((len(value),), self.axes, where, {})
        codecs = zip(self._codecs(len(value)), value, strict=True)
        return [codec.write(item, f"{where}/{index}", arrays) for index, (codec, item) in enumerate(codecs)]

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> tuple[Any, ...]:
        if not isinstance(node, list):
            raise Mismatch(where, "a list", _shown(node))
        _check_axes((len(node),), self.axes, where, sizes)
        codecs = zip(self._codecs(len(node)), node, strict=True)
        return tuple(codec.read(item, f"{where}/{index}", take, {}) for index, (codec, item) in enumerate(codecs))


@dataclass(frozen=True)
class _Mapping:
    """Of strings as a JSON object, of other keys as a list of pairs."""

    key: _Codec
    value: _Codec

    @property
    def named(self) -> bool:
        return self.key == _Scalar(str)

    def write(self, value: Any, where: str, arrays: Arrays) -> Any:
        if not isinstance(value, Mapping):
            raise Mismatch(where, "a mapping", _shown(value))
        pairs = []
        for index, (key, item) in enumerate(value.items()):
            entry = re.sub(r"[^\w.+-]", "_", key)[:80] if isinstance(key, str) else index
            pairs.append([self.key.write(key, where, arrays), self.value.write(item, f"{where}/{entry}", arrays)])
        return dict(pairs) if self.named else pairs

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> dict[Any, Any]:
        if not isinstance(node, dict if self.named else list):
            raise Mismatch(where, "a mapping", _shown(node))
        pairs: Any = node.items() if isinstance(node, dict) else node
        return {
            self.key.read(key, where, take, {}): self.value.read(item, f"{where}/{index}", take, sizes)
            for index, (key, item) in enumerate(pairs)
        }


@dataclass(frozen=True)
class _Optional:
    inner: _Codec

    def write(self, value: Any, where: str, arrays: Arrays) -> Any:
        return None if value is None else self.inner.write(value, where, arrays)

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any:
        return None if node is None else self.inner.read(node, where, take, sizes)


@dataclass(frozen=True)
class _Scalar:
    type: type
    span: Between = Between()

    def write(self, value: Any, where: str, arrays: Arrays) -> Any:
        return self.read(value.item() if isinstance(value, np.generic) else value, where, arrays.pop, {})

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any:
        if self.type is float and type(node) is int:
            node = float(node)
        if type(node) is not self.type:
            word = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}[self.type]
            raise Mismatch(where, word, _shown(node))
        if self.span != Between() and not self.span.holds(node):
            raise Mismatch(where, f"a number {self.span}", _shown(node))
        return node


class _Plain:
    """Settings: anything that JSON holds; tuples become lists."""

    def write(self, value: Any, where: str, arrays: Arrays) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: self.write(item, f"{where}/{key}", arrays) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.write(item, where, arrays) for item in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise Mismatch(where, "plain JSON", _shown(value))

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any:
        return node


@dataclass(frozen=True)
class _Record:
    cls: type
    codecs: Mapping[str, _Codec]

    def write(self, value: Any, where: str, arrays: Arrays) -> dict[str, Any]:
        if not isinstance(value, self.cls):
            raise Mismatch(where, self.cls.__name__, _shown(value))
        return {
            name: codec.write(getattr(value, name), _within(where, name), arrays) for name, codec in self.codecs.items()
        }

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any:
        if not isinstance(node, dict):
            raise Mismatch(where, f"the fields of {self.cls.__name__}", _shown(node))
        # A file of an earlier version lacks fields that were added since: they have their defaults.
        needed = self.codecs.keys() - getattr(self.cls, "added", ())
        unknown = set() if getattr(self.cls, "open_ended", False) else node.keys() - self.codecs
        for names, trouble in ((needed - node.keys(), "missing"), (unknown, "unknown")):
            if names:
                raise ValueError(f"{_within(where, min(names))[:100]}: a field that is {trouble}")
        own: dict[str, int] = {}
        return self.cls(
            **{
                name: codec.read(node[name], _within(where, name), take, own)
                for name, codec in self.codecs.items()
                if name in node
            }
        )


def record_of(cls: Any) -> _Record:
    """Writes and reads a dataclass as plain JSON and arrays, as its fields declare."""
    return _record(cls)


@functools.cache
def _record(cls: Any) -> _Record:
    hints = get_type_hints(cls, include_extras=True)
    return _Record(cls, {item.name: _codec(hints[item.name]) for item in fields(cls)})


def _numbers(node: list[Any], dtype: np.dtype[Any], kind: str, where: str) -> NDArray[Any]:
    """An array from nested lists of numbers, without the texts and fractions that NumPy would turn into numbers."""
    array = np.asarray(node)
    whole = array.dtype.kind == "f" and bool(np.all(array == np.floor(array)) and np.all(np.abs(array) < 2**53))
    fitting = "iuf" if dtype.kind == "f" or whole else "iu"  # PNGs have their integers as 3.0
    if array.dtype.kind == "O" and dtype.kind == "f":
        strange = [item for item in array.ravel() if item is not None and type(item) not in (int, float)]
    else:
        strange = [array.dtype] if array.size and array.dtype.kind not in fitting else []
    if not strange and dtype.kind != "f" and array.size:
        ends = np.iinfo(dtype)
        strange = [end for end in (array.min(), array.max()) if not ends.min <= end <= ends.max]
    if strange:
        raise Mismatch(where, f"an array of {kind}", _shown(strange[0]))
    return array.astype(dtype) if array.size else np.asarray(node, dtype)


def _within(where: str, name: str) -> str:
    return f"{where}/{name}" if where else name


def _check_axes(shape: tuple[int, ...], axes: str, where: str, sizes: dict[str, int]) -> None:
    """Check a shape against its declared axes, and note the sizes of those seen for the first time."""
    options = [option.split() for option in axes.split("|")] if axes else []
    if not options:
        return
    names = next((names for names in options if len(names) == len(shape)), None)
    if names is None and options[0][-1] == "..." and len(shape) >= len(options[0]) - 1:
        names = options[0][:-1]
        shape = shape[: len(names)]
    known = {name: sizes.get(name, int(name) if name.isdigit() else None) for name in names or ()}
    if names is None or any(known[name] not in (None, size) for name, size in zip(names, shape, strict=True)):
        fixed = ", ".join(f"{name} = {size}" for name, size in known.items() if size is not None and not name.isdigit())
        allowed = " or ".join(f"({', '.join(option)}{',' * (len(option) == 1)})" for option in options)
        raise Mismatch(where, f"shape {allowed}" + (f" with {fixed}" if fixed else ""), f"{shape}")
    sizes.update((name, size) for name, size in zip(names, shape, strict=True) if name != "_")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
