"""What the steps of an atlas leave behind: files that a later run finds again, and knows for its own."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, CorruptStore, InvalidParameter, OtherStore, UnwritablePath, nearest
from phosphene.writing import write_whole

__all__ = ["FORMAT", "STEPS", "Kept", "Steps", "identity_of"]

LOG = logging.getLogger("phosphene")

FORMAT = 1
"""Version of these files; a reader knows its own and all before it."""

GO_ON = "The steps before it are whole. Make room and run it again, and it goes on from there."

STEPS = "steps"
"""Folder of an atlas in which they lie."""


@dataclass(frozen=True)
class Kept:
    """The result of one step.

    Attributes
    ----------
    name : str
    identity : str
        A digest of what it is: its settings, and the identity of what it was made from, and so of all before.
    settings : mapping
        Plain JSON.
    arrays : mapping of str to numpy.ndarray
    fresh : bool
        Whether it was made just now, not found.
    """

    name: str
    identity: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    fresh: bool


class Steps:
    """Results of steps in a folder, two files each: ``NAME.npz``, and ``NAME.json``, written last, which vouches for it.

    Parameters
    ----------
    folder : Path
        Of the atlas.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / STEPS

    @property
    def names(self) -> tuple[str, ...]:
        """Steps that are there."""
        return tuple(sorted(unquote(path.stem) for path in self.folder.glob("*.json")))

    def keep(
        self, name: str, settings: Mapping[str, Any], of: str, make: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Kept:
        """The result of a step: found, where it is of the same settings and the same origin, else made and kept.

        Parameters
        ----------
        name : str
            Such as ``"layout.stage3"``.
        settings : mapping
            All that it depends on, as plain JSON.
        of : str
            Identity of what it is made from.
        make : callable
            Called without arguments where there is none yet, or a damaged one.

        Returns
        -------
        Kept

        Raises
        ------
        OtherStore
            When there is one of other settings, or made from something else.
        UnwritablePath
            When it cannot be written.
        """
        wanted = json.loads(json.dumps({"settings": settings, "of": of}))
        identity = identity_of(wanted)
        entry_path = self._path(name, "json")
        if entry_path.exists():
            entry = self._entry(entry_path)
            if entry["identity"] != identity:
                raise OtherStore(self._other(name, entry, wanted))
            try:
                return self.read(name)
            except CorruptStore as error:
                LOG.warning("%s It is made again.", error)
        arrays = dict(make())
        content = _packed(arrays)
        entry = {"format": FORMAT, "name": name, "identity": identity, **wanted, "digest": _digest(content)}
        try:
            write_whole(self._path(name, "npz"), content)
            write_whole(entry_path, json.dumps(entry, indent=1).encode())
        except UnwritablePath as error:
            cause = error.__cause__
            reason = getattr(cause, "strerror", None) or str(cause or error)
            raise UnwritablePath(str(self.folder), f"{reason} (at step {name!r}). {GO_ON}") from error
        return Kept(name, identity, wanted["settings"], arrays, True)

    def read(self, name: str) -> Kept:
        """The result of a step that is there, checked.

        Raises
        ------
        InvalidParameter
            When it is not there.
        CorruptStore
            When its file is not what was written.
        OtherStore
            When a later version wrote it.
        """
        path = self._path(name, "json")
        if not path.exists():
            near = nearest(name, self.names)
            raise InvalidParameter(
                "name", allowed=" or ".join(map(repr, self.names)) or "a step that was run", received=name,
                fix=f"Did you mean {near}?" if near else f"{self.folder} does not have it: run the step first.",
            )  # fmt: skip
        entry = self._entry(path)
        file = self._path(name, "npz")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CorruptStore(str(file), f"cannot be read ({error.strerror or error}).") from error
        if _digest(content) != entry["digest"]:
            raise CorruptStore(str(file), "damaged: it is not what was written.")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return Kept(name, entry["identity"], entry["settings"], arrays, False)

    def discard(self, name: str) -> None:
        """Forget a step, so that it is made again."""
        self._path(name, "json").unlink(missing_ok=True)
        self._path(name, "npz").unlink(missing_ok=True)

    def _path(self, name: str, ending: str) -> Path:
        return self.folder / f"{quote(name, safe='')}.{ending}"

    def _entry(self, path: Path) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = json.loads(path.read_text())
            version = int(entry["format"])
            if version > FORMAT:
                raise OtherStore(
                    f"{path}: written in format {version}, this version of phosphene reads up to {FORMAT}. Install a later one."
                )
            if not {"name", "identity", "settings", "of", "digest"} <= entry.keys():
                raise ValueError("something is missing")
        except (ValueError, KeyError, TypeError, OSError) as error:
            if isinstance(error, OtherStore):
                raise
            raise CorruptFile(
                str(path), f"damaged, or not of an atlas ({error}). Delete it, and the step is run again."
            ) from error
        return entry

    def _other(self, name: str, entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
        mine, theirs = wanted["settings"], entry["settings"]
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                difference = f"its {key} is {_short(theirs.get(key))}, and now it is {_short(mine.get(key))}"
                break
        else:
            difference = "it was made from other results of the steps before it"
        return (
            f"out: {self.folder} holds a step {name!r} of other work: {difference}. Choose another folder, or discard that step "
            f"and those made from it: delete {self._path(name, 'json').name}."
        )


def identity_of(plain: Any) -> str:
    """A digest of plain JSON; the order of keys does not matter."""
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
