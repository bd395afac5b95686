"""What a store is of, as plain JSON; a store of something else is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.errors import CorruptFile, OtherStore
from phosphene.writing import write_whole

__all__ = ["FORMAT", "ArraySpec", "Manifest"]

FORMAT = 1
"""Version of the layout; a reader knows its own and all before it."""

NAME = "manifest.json"


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store: the shape of a row, and its dtype by NumPy's name."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, uncompressed."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Manifest:
    """What a store is of.

    Attributes
    ----------
    kind : str
        "activations", ...
    rows : int
        Rows that it has when it is whole.
    shard_rows : int
        Rows of a shard; the last may have fewer.
    arrays : mapping of str to ArraySpec
    identity : mapping
        What must be equal for the work to go on: fingerprints of model and data, settings. Plain JSON.
    notes : mapping
        What need not be: versions, names, dates.
    """

    kind: str
    rows: int
    shard_rows: int
    arrays: Mapping[str, ArraySpec]
    identity: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.shard_rows)

    def span(self, shard: int) -> tuple[int, int]:
        """First row of a shard, and the one after its last."""
        return shard * self.shard_rows, min(self.rows, (shard + 1) * self.shard_rows)

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole."""
        text = {"format": FORMAT, **asdict(self)}
        write_whole(folder / NAME, json.dumps(text, indent=1).encode())

    @staticmethod
    def read(folder: Path) -> Manifest:
        """That of the store in `folder`.

        Raises
        ------
        CorruptFile
            When there is none, or it cannot be read.
        OtherStore
            When a later version wrote it.
        """
        path = folder / NAME
        try:
            text = json.loads(path.read_text())
            version = int(text.pop("format"))
            if version > FORMAT:
                raise OtherStore(
                    f"{folder}: written in format {version}, this version of phosphene reads up to {FORMAT}. Install a later one."
                )
            text["arrays"] = {
                name: ArraySpec(tuple(spec["shape"]), spec["dtype"]) for name, spec in text["arrays"].items()
            }
            return Manifest(**text)
        except FileNotFoundError as error:
            raise CorruptFile(str(folder), f"not a store: it has no {NAME}") from error
        except (ValueError, KeyError, TypeError, OSError) as error:
            if isinstance(error, OtherStore):
                raise
            raise CorruptFile(str(path), f"not the manifest of a store, or damaged ({error})") from error

    def check(self, found: Manifest, folder: Path) -> None:
        """Raise `OtherStore` unless `found`, which lies in `folder`, is of the same work."""
        mine, theirs = _comparable(self), _comparable(found)
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                raise OtherStore(
                    f"out: {folder} holds a store of other work: its {key} is {_short(theirs.get(key))}, and now it is "
                    f"{_short(mine.get(key))}. Choose another folder, or delete that one."
                )


def _comparable(manifest: Manifest) -> dict[str, Any]:
    plain = json.loads(json.dumps(asdict(manifest)))
    identity = plain.pop("identity")
    plain.pop("notes")
    return {**identity, **plain}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
