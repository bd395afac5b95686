"""The exceptions and warnings of phosphene.

::

    PhospheneError
    ├── InvalidParameter (ValueError)      an argument outside what is allowed
    │   ├── UnknownLayer (KeyError)        no layer of that path
    │   ├── UnknownClass (KeyError)        no class of that name or index
    │   ├── UnknownItem (IndexError)       a result has no item of that index
    │   ├── InvalidImages                  shape, range, dtype or NaN of images
    │   └── InvalidObjective               an objective that does not fit the network
    ├── MissingDependency (ImportError)    an optional package is not installed
    │   └── MissingBackend                 ... and it is a framework
    ├── UnknownModel (TypeError)           no backend owns this object
    ├── MixedBackends (TypeError)          arrays or networks of two frameworks in one call
    ├── ModelFailed (RuntimeError)         the user's model raised when it was run
    ├── CorruptWeights (ValueError)        a weights file that cannot be read or does not fit
    ├── MissingWeights (OSError)           published weights that are not here and cannot be fetched
    ├── CorruptFile (ValueError)           a saved result that cannot be read
    │   └── CorruptStore                   a shard of a store that is not what was written
    ├── OtherStore (ValueError)            a store of a different model, data set or settings
    └── UnwritablePath (OSError)           an output path that cannot be written

    PhospheneWarning (UserWarning)
    ├── ModelWarning                       something about the user's model was handled, and the user should know
    └── CoverageWarning                    a backward rule or a layer mark that did not reach every module

Every message names the parameter, what is allowed, what was received, and how to fix it. Names that it repeats are shown by
`phosphene.words.plain_message`: no name can hide, reorder or colour the text of a terminal.
"""

from __future__ import annotations

import difflib
import itertools
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from phosphene.words import plain_message

__all__ = [
    "CorruptFile",
    "CorruptStore",
    "CorruptWeights",
    "CoverageWarning",
    "InvalidImages",
    "InvalidObjective",
    "InvalidParameter",
    "MissingBackend",
    "MissingDependency",
    "MissingWeights",
    "MixedBackends",
    "ModelFailed",
    "ModelWarning",
    "OtherStore",
    "PhospheneError",
    "PhospheneWarning",
    "UnknownClass",
    "UnknownItem",
    "UnknownLayer",
    "UnknownModel",
    "UnwritablePath",
]


class PhospheneError(Exception):
    """Base class of all exceptions that phosphene raises."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which would put our sentences in quotation marks.
        return plain_message(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors from other processes arrive by pickle, which would call __init__ with the message alone.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[PhospheneError], args: tuple[Any, ...], state: dict[str, Any]) -> PhospheneError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidParameter(PhospheneError, ValueError):
    """An argument outside what is allowed.

    Parameters
    ----------
    parameter : str
        Name of the argument, as the caller wrote it.
    allowed : str
        What is accepted, as a noun phrase: "an integer of at least 1".
    received : object
        The value received; shown by ``repr``, shortened.
    fix : str
        How to fix it, as one or more sentences. Never empty.
    """

    def __init__(self, parameter: str, *, allowed: str, received: object, fix: str) -> None:
        self.parameter = parameter
        shown = received if isinstance(received, _Said) else brief(received)
        super().__init__(f"{parameter}: expected {allowed}, got {shown}. {fix}")


class _Said(str):
    """A received value that is already a description and is shown without quotation marks."""


def said(text: str) -> str:
    """Mark `text` as a description of the value received, so that it is shown without quotation marks."""
    return _Said(text)


class UnknownLayer(InvalidParameter, KeyError):
    """The network has no layer of that path.

    The message lists similar names, and says if the model has a module of that name that did not run, or that is read under
    another name.
    """

    def __init__(
        self, path: str, known: Iterable[str], network: str, *, idle: bool = False, alias: str | None = None
    ) -> None:
        names = list(known)
        self.parameter, self.path = "layer", path
        if not isinstance(path, str):
            PhospheneError.__init__(
                self,
                f"layer: expected the path of a layer as a string, got {brief(path)}. "
                f"net.layers (or `phosphene layers MODEL`) lists all {len(names)} of {network}.",
            )
            return
        near = nearest(path, names)
        hint = f" Did you mean {near}?" if near else ""
        if idle:
            hint = (
                " The model has a module of that name, but it did not run, or returned nothing that can be read." + hint
            )
        if alias is not None:
            read = [name for name in names if name == alias or name.startswith((f"{alias}#", f"{alias}["))]
            calls = f": each call of it is a layer, {', '.join(map(repr, read[:4]))}" if len(read) > 1 else ""
            hint = f" It is the same module as {alias!r}, under which it is read{calls}."
        PhospheneError.__init__(
            self,
            f"no layer {brief(path)} in {network}.{hint} net.layers (or `phosphene layers MODEL`) lists all {len(names)}.",
        )


class UnknownClass(InvalidParameter, KeyError):
    """The network has no class of that name or index. The message lists similar names."""

    def __init__(self, wanted: str | int, classes: Iterable[str] | None, count: int) -> None:
        names = [] if classes is None else list(classes)
        self.parameter = "target"
        if isinstance(wanted, int):
            text = f"no class {brief(wanted)}: the network has {count} classes, numbered 0 to {count - 1}."
        elif not names:
            text = f"no class {brief(wanted)}: the network's classes have no names. Use an index, or pass classes=[...] to ph.wrap."
        else:
            near = nearest(wanted, names)
            hint = (
                f" Did you mean {near}?"
                if near
                else f" The {count} classes are {', '.join(names[:12])}" + (", ..." if count > 12 else ".")
            )
            text = f"no class {brief(wanted)}.{hint}"
        PhospheneError.__init__(self, text)


class UnknownItem(InvalidParameter, IndexError):
    """A result has no item of that index."""


class InvalidImages(InvalidParameter):
    """Images of the wrong shape, range or dtype, or that contain NaN."""


class InvalidObjective(InvalidParameter):
    """An objective that does not fit the network, or that returns an invalid value."""


class MissingDependency(PhospheneError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        Name of the package.
    extra : str
        The extra of phosphene that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'phosphene[{extra}]'")


class MissingBackend(MissingDependency):
    """A framework that was asked for is not installed, or a backend of a third party cannot be imported.

    Parameters
    ----------
    package : str
        What could not be imported.
    extra : str
        The extra of phosphene that brings it, or the name of the third party's backend.
    detail : str, optional
        Why the third party's package could not be imported.
    """

    def __init__(self, package: str, extra: str, *, detail: str | None = None) -> None:
        super().__init__(package, extra)
        if detail is not None:
            self.args = (f"backend {extra!r}: {package} cannot be imported ({detail}). Install what it needs.",)


class UnknownModel(PhospheneError, TypeError):
    """No backend accepts this object as a model."""


class MixedBackends(PhospheneError, TypeError):
    """Arrays or networks of two frameworks were passed to one call."""


def refuse_foreign(images: object, parameter: str = "images") -> None:
    """Raise `MixedBackends` for an array of a framework where a NumPy array is expected."""
    module = type(images).__module__.split(".")[0]
    if holds(images, "__dlpack__") and not isinstance(images, (np.ndarray, type)):
        raise MixedBackends(
            f"{parameter}: expected a NumPy array, got a {type(images).__name__} of {module}. "
            "Public functions take and return NumPy: convert it with numpy.asarray, channel-last and in [0, 1]."
        )


class ModelFailed(PhospheneError, RuntimeError):
    """The user's model raised an exception when it was run; the exception is chained."""


class CorruptWeights(PhospheneError, ValueError):
    """A weights file that cannot be read or does not fit the architecture."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"weights {name!r}: {detail}")


class MissingWeights(PhospheneError, OSError):
    """Published weights that are not on this machine and cannot be downloaded.

    Parameters
    ----------
    what : str
        What would be downloaded: a file, or a repository and its files.
    source : str
        Where it is downloaded from.
    place : str
        Where it would be cached.
    detail : str
        Why the download failed.
    """

    def __init__(self, what: str, source: str, place: str, detail: str) -> None:
        super().__init__(
            f"{what} is not on this machine and could not be downloaded from {source} ({detail}). Connect to the network once "
            f"(it is then cached in {place}), or pass weights='random' or the path of a weights file."
        )


class CorruptFile(PhospheneError, ValueError):
    """A saved result that cannot be read."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{_path(path)}: {detail}")


class CorruptStore(CorruptFile):
    """A shard of a store whose values differ from those that were written. Its values are never used."""


class OtherStore(PhospheneError, ValueError):
    """A store of a different model, data set or settings, or of a format that this version does not know."""


class UnwritablePath(PhospheneError, OSError):
    """An output path that cannot be written; raised before any work starts."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"cannot write {_path(path)}: {detail}")


class PhospheneWarning(UserWarning):
    """Base class of all warnings that phosphene issues."""

    def __str__(self) -> str:
        return plain_message(self.args[0]) if self.args else ""


class ModelWarning(PhospheneWarning):
    """Something about the user's model was handled, and the user should know."""


class CoverageWarning(PhospheneWarning):
    """A backward rule or a layer mark that did not reach every module."""


def holds(value: object, *names: str) -> bool:
    """Whether a value has attributes of these names; an object whose attributes raise has none."""
    try:
        return all(hasattr(value, name) for name in names)
    except Exception:  # noqa: BLE001 (of a class that is not ours)
        return False


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The names in `known` most similar to `name`, quoted and joined by "or"; an empty string if none is similar."""
    names = list(known)
    close = difflib.get_close_matches(name[:LONGEST_NAME], names, n=count, cutoff=0.5)
    return " or ".join(repr(item) for item in close)


def _path(path: str) -> str:
    """A path as messages show it: whole, unless no file system would take it."""
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_SHOWN]}... ({len(path):,} characters)"


LONGEST_PATH = 1000
"""Characters of a path in a message."""

LONGEST_NAME = 200
"""Characters of a name that are compared with others; the time grows with the square of their number."""

LONGEST_SHOWN = 120
"""Characters of a value in a message."""


def brief(value: object) -> str:
    """A value as messages show it: its ``repr`` shortened, whatever it is.

    Objects whose own ``repr`` raises are shown by their class, nested and circular containers down to a few levels, and integers
    of thousands of digits by their size. Time and memory do not grow with the value.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
        At most `LONGEST_SHOWN` characters.
    """
    text = _BRIEF.repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


class _Brief(reprlib.Repr):
    """Shows what fits into a message as ``repr`` does, and no more."""

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, str):
            return repr(str(x[: 2 * LONGEST_SHOWN]))
        if isinstance(x, (bytes, bytearray)):
            return repr(x[: 2 * LONGEST_SHOWN])
        if type(x) in (int, list, tuple, dict, set, frozenset):
            return super().repr1(x, level)
        return self.repr_instance(x, level)

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        # Python refuses to write thousands of digits.
        return repr(x) if bits <= 1024 else f"{'a negative' if x < 0 else 'an'} integer of {bits:,} bits"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if not x or level <= 0:
            return "{}" if not x else "{...}"
        # In the order of the items, unlike reprlib, which sorts them and so compares the keys.
        shown = [
            f"{self.repr1(key, level - 1)}: {self.repr1(x[key], level - 1)}"
            for key in itertools.islice(x, self.maxdict)
        ]
        return f"{{{', '.join(shown + ['...'] * (len(x) > self.maxdict))}}}"

    def repr_set(self, x: set[Any], level: int) -> str:
        return self._unordered(x, "{", "}", level) if x else "set()"

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        return self._unordered(x, "frozenset({", "})", level) if x else "frozenset()"

    def _unordered(self, x: Iterable[Any], left: str, right: str, level: int) -> str:
        items = [self.repr1(item, level - 1) for item in itertools.islice(x, self.maxset)] if level > 0 else ["..."]
        return left + ", ".join(items) + right

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            return repr(x)[: 2 * LONGEST_SHOWN]
        except Exception:  # noqa: BLE001 (of a class that is not ours; it is being refused already)
            return f"<{type(x).__module__}.{type(x).__qualname__} object>"


_BRIEF = _Brief()
_BRIEF.maxlevel = 6
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxset = _BRIEF.maxfrozenset = LONGEST_SHOWN // 2
_BRIEF.maxdict = LONGEST_SHOWN // 4
