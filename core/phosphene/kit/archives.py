"""Archives: dataclasses as ``.npz`` files that are checked against their declaration when they are read.

An archive holds arrays and one JSON text, ``metadata``: the version of the format, the kind of result and every field, where an
array is represented by the name of its entry. Nothing is pickled.

The type of a field declares what is read. For arrays, sequences and mappings of arrays, `typing.Annotated` adds the axes:
``Annotated[NDArray[np.float32], "N H W C"]``. Axes of the same name have the same size within a dataclass, ``_`` is any size,
``...`` any further axes, and ``|`` separates alternatives.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, InvalidParameter, said

__all__ = ["DAMAGE", "archive_bytes", "corrupt", "read_archive", "rebuilt"]

FORMAT = 2
FREE_SIZE, MOST_RATIO = 2**28, 100
"""An archive may unpack to 256 MiB, or to 100 times its own size if that is more."""

MOST_TEXT = 2**24
"""Characters of metadata, so that a damaged file cannot exhaust the memory."""

DAMAGE = (
    *(
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        SyntaxError,
    ),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)
"""What reading a damaged file may raise, all readers together."""

Kept = TypeVar("Kept")
Arrays = dict[str, NDArray[Any]]
Take = Callable[[str], NDArray[Any]]
"""Returns the array of an entry; KeyError for an entry that does not exist or was taken before."""


class Mismatch(ValueError):
    """A value that is not what its field declares."""

    def __init__(self, where: str, allowed: str, received: str) -> None:
        self.where, self.allowed, self.received = where, allowed, received
        super().__init__(f"{where}: expected {allowed}, got {received}")


def archive_bytes(result: Any, kind: str, **extra: NDArray[Any]) -> bytes:
    """Encode a dataclass as the content of an archive.

    Parameters
    ----------
    result : dataclass
    kind : str
        The name under which it is read again.
    **extra : numpy.ndarray
        Further entries for other readers; `read_archive` ignores them.

    Returns
    -------
    bytes

    Raises
    ------
    InvalidParameter
        For a field that is not what the class declares, since it could not be read again.
    """
    arrays: Arrays = {}
    try:
        words = {"format": FORMAT, "kind": kind, **_record(type(result)).write(result, "", arrays)}
        rebuilt(type(result), words, arrays)
    except Mismatch as error:
        raise InvalidParameter(
            error.where, allowed=error.allowed, received=said(error.received), fix="Correct the field before saving."
        ) from error
    text = json.dumps(words)
    if len(text) > MOST_TEXT:
        raise InvalidParameter(
            "settings",
            allowed=f"text of at most {MOST_TEXT:,} characters in all fields together",
            received=said(f"{len(text):,} characters"),
            fix="Save fewer results in one file.",
        )
    named: dict[str, Any] = {**arrays, **extra, "metadata": np.asarray(text)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    if sum(array.nbytes for array in named.values()) > _largest(buffer.tell()) / 2:
        # Almost constant arrays compress so well that the reader would take the file for a decompression bomb.
        buffer = io.BytesIO()
        np.savez(buffer, **named)
    return buffer.getvalue()


def read_archive(path: str | Path, cls: type[Kept], kind: str) -> Kept:
    """Read a dataclass from an archive.

    Parameters
    ----------
    path : str or Path
    cls : type
        The dataclass to read.
    kind : str
        The kind that the archive must hold.

    Returns
    -------
    dataclass
        With the dtypes, shapes and values that were saved.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    CorruptFile
        When it is no archive, damaged, of another kind or of a later version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
            most = _largest(Path(path).stat().st_size)
            if sum(sizes.values()) > most:
                raise ValueError(f"it would unpack to more than {most:,} bytes")

            def take(name: str) -> NDArray[Any]:
                return _entry(archive, name, sizes.pop(name))

            words = _metadata(take, sizes)
            found = words.pop("kind", kind if words["format"] == 1 else None)
            if words.pop("format") == 1:
                words = _from_format_1(words, list(sizes))
            if found != kind:
                raise ValueError(f"it holds another kind of result, {found!r:.40}")
            return rebuilt(cls, words, take)
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise corrupt(path, cls, error) from error


def corrupt(path: str | Path, cls: type, error: BaseException) -> CorruptFile:
    """The error for a file that could not be read as a `cls`, with the cause."""
    cause = f"{error}"[:300] or type(error).__name__
    if isinstance(error, (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)):
        cause = f"it is not an archive of phosphene, or it is damaged ({cause})"
    return CorruptFile(str(path), f"cannot be read as {cls.__name__}: {cause}")


def rebuilt(cls: type[Kept], words: Mapping[str, Any], arrays: Arrays | Take) -> Kept:
    """Build a dataclass from its fields as JSON and its arrays, each checked against the declaration.

    Raises
    ------
    ValueError
        For a field that is missing, unknown, or not what the class declares.
    """
    take = arrays if callable(arrays) else dict(arrays).pop
    made: Kept = _record(cls).read({k: v for k, v in words.items() if k not in ("format", "kind")}, "", take, {})
    return made


def _largest(size: int) -> int:
    return max(FREE_SIZE, MOST_RATIO * size)


def _metadata(take: Take, sizes: Mapping[str, int]) -> dict[str, Any]:
    if sizes.get("metadata", 0) > 4 * MOST_TEXT + 4096:
        raise ValueError("its metadata are too long")
    try:
        text = take("metadata")
    except KeyError as error:
        raise ValueError("it was not written by phosphene: it has no metadata") from error
    words = json.loads(str(text)) if text.dtype.kind == "U" and text.ndim == 0 else None
    if not isinstance(words, dict) or type(words.get("format")) is not int or words["format"] < 1:
        raise ValueError("it was not written by phosphene: its metadata do not name a format")
    if words["format"] > FORMAT:
        raise ValueError(
            f"it is in format {words['format']}, and this version reads formats up to {FORMAT}; update phosphene"
        )
    return words


def _from_format_1(words: dict[str, Any], entries: list[str]) -> dict[str, Any]:
    """Fields of format 1, whose metadata did not mention arrays."""
    upgraded = {**words, **{name: name for name in entries if "/" not in name}}
    if "awake_at" in entries:  # renders: an optional array without an entry was None
        upgraded = dict.fromkeys(("snapshots", "opacity", "parameters")) | upgraded
    if "raw" in entries:  # an attribution: entries of mappings were named by their keys
        for group in ("scores", "curves", "sanity"):
            upgraded[group] = {name.removeprefix(f"{group}/"): name for name in entries if name.startswith(f"{group}/")}
    return upgraded


def _entry(archive: zipfile.ZipFile, name: str, size: int) -> NDArray[Any]:
    """Read an array whose header agrees with the size of its entry, so that no header can claim more memory."""
    with archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{name}: arrays of NumPy's format {version} are not read")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject:
            raise ValueError(f"{name}: it holds Python objects, and nothing is unpickled")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError(f"{name}: its shape {shape} does not agree with its size in the file")
    with archive.open(f"{name}.npy") as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


class _Codec(Protocol):
    """Writes values of a type as JSON and arrays, and reads them back; `where` names the value in errors."""

    def write(self, value: Any, where: str, arrays: Arrays) -> Any: ...

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any: ...


def _codec(hint: Any, axes: str = "") -> _Codec:
    origin, arguments = get_origin(hint), get_args(hint)
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
    return _record(hint) if is_dataclass(hint) else _Scalar(hint)


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
        kind = {"f": "floats", "i": "integers", "u": "unsigned integers"}[self.dtype.kind]
        if isinstance(node, list):  # as PNGs and format 1 have them; None is NaN
            array = np.asarray(node, self.dtype)
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

    def write(self, value: Any, where: str, arrays: Arrays) -> Any:
        return self.read(value.item() if isinstance(value, np.generic) else value, where, arrays.pop, {})

    def read(self, node: Any, where: str, take: Take, sizes: dict[str, int]) -> Any:
        if self.type is float and type(node) is int:
            node = float(node)
        if type(node) is not self.type:
            word = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}[self.type]
            raise Mismatch(where, word, _shown(node))
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
        for names, trouble in ((needed - node.keys(), "missing"), (node.keys() - self.codecs, "unknown")):
            if names:
                raise ValueError(f"{_within(where, min(names))}: a field that is {trouble}")
        own: dict[str, int] = {}
        return self.cls(
            **{
                name: codec.read(node[name], _within(where, name), take, own)
                for name, codec in self.codecs.items()
                if name in node
            }
        )


def _record(cls: Any) -> _Record:
    hints = get_type_hints(cls, include_extras=True)
    return _Record(cls, {item.name: _codec(hints[item.name]) for item in fields(cls)})


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
