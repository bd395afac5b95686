"""`Result`: the base of everything that a call returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.kit.archives import archive_bytes, read_archive
from phosphene.kit.checks import listed
from phosphene.kit.figures import figure_bytes
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole

__all__ = ["FIGURES", "Result", "refuse_options"]

FIGURES = (".png", ".svg", ".pdf")
"""Endings of the files that a figure can be saved to."""


class Result:
    """Base of all results: frozen dataclasses that are saved, loaded, drawn and converted to plain Python.

    A result declares its fields, whose types say how they are read from an archive (`phosphene.kit.archives`), its `kind` and
    its `endings`. It overrides `plot` if it can be drawn, and `_text` if it can be saved as a table, a page or JSON.

    Attributes
    ----------
    kind : str
        Name of the kind of result in an archive.
    endings : tuple of str
        Endings of the files that `save` can write.
    added : tuple of str
        Fields that archives of earlier versions lack; they then have their defaults.
    """

    kind: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = (".npz",)
    added: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def check_path(cls, path: str | Path) -> Path:
        """Check that a result can be saved to `path`, before it is computed.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For an ending that is not among `endings`.
        UnwritablePath
            When the file cannot be written.
        """
        target = given_path(path)
        if target.suffix not in cls.endings:
            raise InvalidParameter(
                "path",
                allowed=f"a name that ends in {' or '.join(', '.join(cls.endings).rsplit(', ', 1))}",
                received=str(path),
                fix="Use .npz to keep every bit.",
            )
        return check_writable(target)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Save the result in the format that the ending of `path` names.

        A ``.npz`` keeps everything exactly and is read by `load`. A ``.png``, ``.svg`` or ``.pdf`` is the figure that `plot`
        draws, a ``.csv`` the table, a ``.html`` a page that needs no network. `endings` lists those that a result has. The file
        is written whole or not at all.

        Parameters
        ----------
        path : str or Path
        **options
            Options of `plot`, for a figure.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending, or options that do not apply to it.
        UnwritablePath
            When the file cannot be written; nothing is computed then.
        """
        target = self.check_path(path)
        write_whole(target, self._content(target.suffix, **options))
        return target

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a result from the ``.npz`` that `save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Result
            Of this class, equal to what was saved.

        Raises
        ------
        InvalidParameter
            When `path` is not a path.
        FileNotFoundError
            When there is no such file.
        CorruptFile
            When the file holds something else, is damaged, or was written by a later version.
        """
        return read_archive(given_path(path, "path"), cls, cls.kind)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain Python: nested dictionaries, lists, strings and numbers, with arrays as NumPy arrays."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def plot(self, *args: Any, **options: Any) -> Any:
        """Draw the result as a figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no figure; it can be saved as {', '.join(self.endings)}")

    def _content(self, ending: str, **options: Any) -> bytes:
        """The content of a file of one of `endings`."""
        if ending in FIGURES:
            return figure_bytes(self.plot(**_known(self, options)), ending[1:])
        refuse_options(ending, options)
        return (
            archive_bytes(self, self.kind) if ending == ".npz" else self._text(ending).encode(errors="backslashreplace")
        )

    def _text(self, ending: str) -> str:
        """The content of a table, a page or a JSON file."""
        raise NotImplementedError(ending)

    def _repr_png_(self) -> bytes | None:
        return figure_bytes(self.plot(), "png") if ".png" in self.endings else None


def refuse_options(ending: str, options: Mapping[str, Any]) -> None:
    """Raise InvalidParameter for options of a file that is not a figure."""
    for name, value in options.items():
        raise InvalidParameter(
            name,
            allowed=f"no such option for a {ending} file",
            received=value,
            fix="It is an option of `plot`: leave it out, or save a figure.",
        )


def _known(result: Result, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of the figure of a result, checked by name."""
    known = [name for name in inspect.signature(result.plot).parameters if name not in ("args", "options")]
    for name in options:
        if name not in known:
            raise InvalidParameter(
                name,
                allowed=f"an option of `plot`, {listed(known)}" if known else "no option: `plot` has none",
                received=options[name],
                fix=f"help(ph.{type(result).__name__}.plot) explains them." if known else "Leave it out.",
            )
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
