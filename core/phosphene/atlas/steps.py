"""Results of the steps of an atlas, kept in files that a later run reuses, and checks that they belong together."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, CorruptStore, InvalidParameter, OtherStore, UnwritablePath, nearest
from phosphene.extraction.collection import same_images
from phosphene.kit.archives import arrays_of
from phosphene.kit.documents import DAMAGE, open_regular, read_document
from phosphene.kit.locks import alone
from phosphene.kit.places import given_path
from phosphene.kit.progress import Teller
from phosphene.kit.writing import write_whole

if TYPE_CHECKING:
    from phosphene.atlas.atlas import Atlas

__all__ = ["FORMAT", "STEPS", "Kept", "Steps", "check_model", "check_origin", "identity_of"]

Made = TypeVar("Made")

LOG = logging.getLogger("phosphene")

FORMAT = 1
"""Version of these files; a reader supports its own and all earlier ones."""

RESUME = "All earlier steps are complete: free some space and run it again to resume."

STEPS = "steps"
"""Folder inside an atlas that holds these files."""


@dataclass(frozen=True)
class Kept:
    """The result of one step.

    Attributes
    ----------
    name : str
    identity : str
        A digest of its settings and of the identity of its inputs, which covers all steps before it.
    settings : mapping
        Plain JSON.
    arrays : mapping of str to numpy.ndarray
    fresh : bool
        Whether it was computed just now rather than found.
    """

    name: str
    identity: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    fresh: bool

    def made(self, make: Callable[[Mapping[str, NDArray[Any]]], Made]) -> Made:
        """What the arrays make.

        Parameters
        ----------
        make : callable
            Makes the object from the arrays, and raises ValueError or KeyError for those of another step.

        Raises
        ------
        CorruptStore
            When the arrays are not those of such a step.
        """
        try:
            return make(self.arrays)
        except InvalidParameter:
            raise  # about a parameter of the caller, such as a level that the map does not have
        except DAMAGE as error:
            raise CorruptStore(
                f"{STEPS}/{quote(self.name, safe='')}.npz",
                f"its arrays are not those of the step {self.name!r} ({error}). Delete it and the file .json beside it to "
                "compute the step again.",
            ) from error


@dataclass(frozen=True)
class Entry:
    """What the file beside the arrays of a step says; see `Kept`.

    Attributes
    ----------
    name, identity, settings
        As of `Kept`.
    of : str
        Identity of the inputs.
    digest : str
        Digest of the file of the arrays.
    """

    open_ended: ClassVar[bool] = True

    name: str
    identity: str
    settings: Mapping[str, Any]
    of: str
    digest: str


class Steps:
    """Results of steps in a folder, two files each: ``NAME.npz``, and ``NAME.json`` with its digest, written last.

    Parameters
    ----------
    folder : str or Path
        Folder of the atlas.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = given_path(folder, "folder") / STEPS

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the steps that were run, sorted."""
        return tuple(sorted(unquote(path.stem) for path in self.folder.glob("*.json")))

    def keep(
        self,
        name: str,
        settings: Mapping[str, Any],
        of: str,
        make: Callable[[], Mapping[str, NDArray[Any]]],
        *,
        progress: Teller | bool | None = False,
    ) -> Kept:
        """Return the result of a step: the one on disk if its settings and inputs are the same, else compute and keep it.

        If another process is computing the step, this one waits for its result.

        Parameters
        ----------
        name : str
            Such as ``"layout.stage3"``.
        settings : mapping
            All settings that the result depends on, as plain JSON.
        of : str
            Identity of the inputs.
        make : callable
            Computes the arrays; called without arguments if there is no result on disk or it is damaged.
        progress : callable, bool or None, default False
            Told while this process waits for another.

        Returns
        -------
        Kept

        Raises
        ------
        OtherStore
            When the result on disk has other settings or other inputs.
        UnwritablePath
            When the result cannot be written.
        Stopped
            When `progress` ends the wait; see `phosphene.kit.locks.alone`.
        """
        wanted = json.loads(json.dumps({"settings": settings, "of": of}))
        found = self._found(name, wanted)
        if found is not None:
            return found
        with alone(self._path(f".{name}", "lock"), f"step {name!r}", progress):
            return self._found(name, wanted, say=True) or self._made(name, wanted, make)

    def _found(self, name: str, wanted: Mapping[str, Any], *, say: bool = False) -> Kept | None:
        """The result on disk, unless there is none or it is damaged."""
        entry_path = self._path(name, "json")
        if not os.path.lexists(entry_path):
            return None
        if self._entry(name).identity != identity_of(wanted):
            raise OtherStore(self._other(name, self._entry(name), wanted))
        try:
            return self.read(name)
        except CorruptStore as error:
            if say:
                LOG.warning("%s It is computed again.", error)
            return None

    def _made(self, name: str, wanted: Mapping[str, Any], make: Callable[[], Mapping[str, NDArray[Any]]]) -> Kept:
        """Compute the result and write it."""
        entry_path, identity = self._path(name, "json"), identity_of(wanted)
        arrays = dict(make())
        content = _packed(arrays)
        entry = {"format": FORMAT, "name": name, "identity": identity, **wanted, "digest": _digest(content)}
        try:
            write_whole(self._path(name, "npz"), content)
            write_whole(entry_path, json.dumps(entry, indent=1).encode())
        except UnwritablePath as error:
            cause = error.__cause__
            reason = getattr(cause, "strerror", None) or str(cause or error)
            raise UnwritablePath(str(self.folder), f"{reason} (at step {name!r}). {RESUME}") from error
        return Kept(name, identity, wanted["settings"], arrays, True)

    def read(self, name: str) -> Kept:
        """Read the result of a step and verify its digest.

        Raises
        ------
        InvalidParameter
            When the step was not run.
        CorruptStore
            When its file is damaged.
        OtherStore
            When it was written by a later version.
        """
        path = self._path(name, "json") if isinstance(name, str) and name else None
        if path is None or not os.path.lexists(path):
            near = nearest(name, self.names) if isinstance(name, str) else ""
            raise InvalidParameter(
                "name",
                allowed=" or ".join(map(repr, self.names)) or "a step that was run",
                received=name,
                fix=f"Did you mean {near}?" if near else f"Run this step first: {self.folder} does not have it.",
            )
        entry = self._entry(name)
        file = self._path(name, "npz")
        try:
            with open_regular(file) as stream:
                arrays = arrays_of(stream)
                stream.seek(0)
                found = hashlib.file_digest(stream, _hash).hexdigest()
        except DAMAGE as error:
            cause = getattr(error, "strerror", None) or f"{error}"[:200] or type(error).__name__
            raise CorruptStore(str(file), f"damaged: it cannot be read ({cause}).") from error
        if found != entry.digest:
            raise CorruptStore(str(file), "damaged: its content does not match its digest.")
        return Kept(name, entry.identity, entry.settings, arrays, False)

    def read_as(self, name: str, make: Callable[[Mapping[str, NDArray[Any]]], Made]) -> Made:
        """What the arrays of a step make; see `read` and `Kept.made`."""
        return self.read(name).made(make)

    def discard(self, name: str) -> None:
        """Delete the result of a step, so that it is computed again."""
        self._path(name, "json").unlink(missing_ok=True)
        self._path(name, "npz").unlink(missing_ok=True)

    def _path(self, name: str, ending: str) -> Path:
        return self.folder / f"{quote(name, safe='')}.{ending}"

    def _entry(self, name: str) -> Entry:
        path = self._path(name, "json")
        fix = "Delete it to compute the step again."
        try:
            entry = read_document(path, Entry, newest=FORMAT, finite=False, what="part of an atlas", fix=fix)
        except FileNotFoundError as error:
            raise CorruptFile(str(path), f"a link to nothing. {fix}") from error
        if entry.name != name or entry.identity != identity_of({"settings": entry.settings, "of": entry.of}):
            raise CorruptFile(str(path), f"damaged, or not part of an atlas (it is that of another step). {fix}")
        return entry

    def _other(self, name: str, entry: Entry, wanted: Mapping[str, Any]) -> str:
        mine, theirs = wanted["settings"], entry.settings
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                difference = f"its {key} is {_short(theirs.get(key))}, this run has {_short(mine.get(key))}"
                break
        else:
            difference = "it was computed from other results of earlier steps"
        return (
            f"out: {self.folder} holds the step {name!r} of another run: {difference}. Choose another folder, or delete "
            f"{self._path(name, 'json').name} there, and the files of all steps computed from it."
        )


def identity_of(plain: Any) -> str:
    """A digest of plain JSON, independent of the order of keys."""
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def check_model(atlas: Atlas, network: Network) -> None:
    """Raise `OtherStore` if the activations of an atlas are known to come from other weights."""
    _same(atlas, "model", network.fingerprint(), "network", "Load the network that the atlas was collected with")


def check_origin(atlas: Atlas, network: Network, source: Source) -> None:
    """Raise `OtherStore` unless an atlas was collected from these images with these weights."""
    identity = atlas.store.manifest.identity
    if "model" not in identity:
        raise InvalidParameter(
            "atlas",
            allowed="an atlas that was collected from images",
            received=atlas.store,
            fix="Use phosphene.atlas.collect: an atlas from activations has no positions in images.",
        )
    check_model(atlas, network)
    _same(atlas, "data", source.identity(), "images", "Pass the same images in the same order")
    if not source.once:
        same_images(atlas.store, source, per_image=int(identity["positions"]), progress=False)


def _same(atlas: Atlas, name: str, now: str, given: str, fix: str) -> None:
    known = atlas.store.manifest.identity.get(name)
    if known is not None and known != now:
        raise OtherStore(
            f"{given}: {atlas.folder} is an atlas of another {name}: expected {known}, got {now}. {fix}, or collect a new "
            "atlas into another folder."
        )


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _digest(content: bytes) -> str:
    return str(_hash(content).hexdigest())


def _hash(content: bytes = b"") -> Any:
    return hashlib.blake2b(content, digest_size=16)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
