"""Results of the steps of an atlas, kept in files that a later run reuses, and checks that they belong together."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, CorruptStore, InvalidParameter, OtherStore, UnwritablePath, nearest
from phosphene.kit.writing import write_whole

if TYPE_CHECKING:
    from phosphene.atlas.atlas import Atlas

__all__ = ["FORMAT", "STEPS", "Kept", "Steps", "check_model", "check_origin", "identity_of"]

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


class Steps:
    """Results of steps in a folder, two files each: ``NAME.npz``, and ``NAME.json`` with its digest, written last.

    Parameters
    ----------
    folder : str or Path
        Folder of the atlas.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / STEPS

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the steps that were run, sorted."""
        return tuple(sorted(unquote(path.stem) for path in self.folder.glob("*.json")))

    def keep(
        self, name: str, settings: Mapping[str, Any], of: str, make: Callable[[], Mapping[str, NDArray[Any]]]
    ) -> Kept:
        """Return the result of a step: the one on disk if its settings and inputs are the same, else compute and keep it.

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

        Returns
        -------
        Kept

        Raises
        ------
        OtherStore
            When the result on disk has other settings or other inputs.
        UnwritablePath
            When the result cannot be written.
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
                LOG.warning("%s It is computed again.", error)
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
        path = self._path(name, "json")
        if not path.exists():
            near = nearest(name, self.names)
            raise InvalidParameter(
                "name",
                allowed=" or ".join(map(repr, self.names)) or "a step that was run",
                received=name,
                fix=f"Did you mean {near}?" if near else f"Run this step first: {self.folder} does not have it.",
            )
        entry = self._entry(path)
        file = self._path(name, "npz")
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CorruptStore(str(file), f"cannot be read ({error.strerror or error}).") from error
        if _digest(content) != entry["digest"]:
            raise CorruptStore(str(file), "damaged: its content does not match its digest.")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return Kept(name, entry["identity"], entry["settings"], arrays, False)

    def discard(self, name: str) -> None:
        """Delete the result of a step, so that it is computed again."""
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
                    f"{path}: written in format {version}, but this version of phosphene reads formats up to {FORMAT}. "
                    "Install a later version."
                )
            if not {"name", "identity", "settings", "of", "digest"} <= entry.keys():
                raise ValueError("a key is missing")
        except (ValueError, KeyError, TypeError, OSError) as error:
            if isinstance(error, OtherStore):
                raise
            raise CorruptFile(
                str(path), f"damaged, or not part of an atlas ({error}). Delete it to compute the step again."
            ) from error
        return entry

    def _other(self, name: str, entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
        mine, theirs = wanted["settings"], entry["settings"]
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
    if "model" not in atlas.store.manifest.identity:
        raise InvalidParameter(
            "atlas",
            allowed="an atlas that was collected from images",
            received=atlas.store,
            fix="Use phosphene.atlas.collect: an atlas from activations has no positions in images.",
        )
    check_model(atlas, network)
    _same(atlas, "data", source.identity(), "images", "Pass the same images in the same order")


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
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
