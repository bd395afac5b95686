"""The manifest of a folder of pictures: its identity, and the units of each batch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from phosphene.errors import CorruptFile, OtherStore
from phosphene.kit.documents import read_document
from phosphene.kit.records import Between
from phosphene.kit.writing import write_whole

__all__ = ["Batch", "Manifest"]

FORMAT = 1

FIX = "Delete it to divide the units into batches anew, or choose another folder."


@dataclass(frozen=True)
class Batch:
    """Units that are computed together."""

    channels: tuple[int, ...]

    def name(self, identity: dict[str, Any]) -> str:
        """Name of its file, with a digest of its units and the identity, so that files of different work never collide."""
        text = json.dumps([identity, self.channels], sort_keys=True)
        return f"{self.channels[0]:05d}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}.npz"


@dataclass(frozen=True)
class Written:
    """What the file of a manifest says."""

    open_ended: ClassVar[bool] = True

    identity: Mapping[str, Any]
    batches: tuple[tuple[Annotated[int, Between(0)], ...], ...]

    def check(self, path: Path, units: Sequence[int], size: int) -> None:
        """Raise `CorruptFile` unless the batches hold these units in this order, each once, and at most `size` at a time."""
        if [unit for batch in self.batches for unit in batch] != list(units):
            raise CorruptFile(str(path), f"damaged: its batches are not its units, each once. {FIX}")
        if any(not 1 <= len(batch) <= size for batch in self.batches):
            raise CorruptFile(str(path), f"damaged: its batches are not of 1 to {size} units. {FIX}")


@dataclass(frozen=True)
class Manifest:
    """The identity of the pictures in a folder, and their division into batches."""

    folder: Path
    identity: dict[str, Any]
    batches: tuple[Batch, ...]

    @staticmethod
    def at(folder: Path, identity: dict[str, Any]) -> Manifest:
        """Read the manifest in a folder and check its identity, or create a new one.

        Raises
        ------
        CorruptFile
            When the file is damaged.
        OtherStore
            When it has another identity.
        """
        path = folder / "manifest.json"
        if not os.path.lexists(path):
            channels, size = identity["units"], identity["batch"]
            batches = [Batch(tuple(channels[start : start + size])) for start in range(0, len(channels), size)]
            return Manifest(folder, identity, tuple(batches))
        written = read_document(path, Written, newest=FORMAT, what="the manifest of pictures", fix=FIX)
        theirs = written.identity
        for key, value in json.loads(json.dumps(identity)).items():
            if theirs.get(key) != value:
                raise OtherStore(
                    f"out: {folder} holds pictures of another run: its {key} is {theirs.get(key)!r:.80}, this run has "
                    f"{value!r:.80}. Choose another folder, or delete this one."
                )
        written.check(path, identity["units"], identity["batch"])
        return Manifest(folder, identity, tuple(map(Batch, written.batches)))

    def next_batch(self, done: int) -> Batch | None:
        """The batch after the first `done`, or None."""
        return self.batches[done] if done < len(self.batches) else None

    def halved(self, index: int) -> Manifest:
        """A copy in which this batch is halved, and all later ones are at most as large."""
        size = -(-len(self.batches[index].channels) // 2)
        rest = [
            Batch(batch.channels[start : start + size])
            for batch in self.batches[index:]
            for start in range(0, len(batch.channels), size)
        ]
        return replace(self, batches=(*self.batches[:index], *rest))

    def written(self) -> Manifest:
        """Write the manifest to its folder, and return it."""
        text = {"format": FORMAT, "identity": self.identity, "batches": [batch.channels for batch in self.batches]}
        write_whole(self.folder / "manifest.json", json.dumps(text, indent=1).encode())
        return self
