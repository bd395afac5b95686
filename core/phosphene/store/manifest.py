"""The manifest of a store: what it contains and how it was made, as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.errors import CorruptFile, OtherStore
from phosphene.kit.writing import write_whole

__all__ = ["FORMAT", "ArraySpec", "Manifest"]

FORMAT = 1
"""Version of the layout; a reader supports its own version and all earlier ones."""

NAME = "manifest.json"


@dataclass(frozen=True)
class ArraySpec:
    """Shape of a row of one array of a store, and the name of its NumPy dtype."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, uncompressed."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Manifest:
    """What a store contains, and how it was made.

    Attributes
    ----------
    kind : str
        Kind of content, such as "activations".
    rows : int
        Number of rows of the complete store.
    shard_rows : int
        Rows per shard; the last shard may have fewer.
    arrays : mapping of str to ArraySpec
        Arrays by name.
    identity : mapping
        What must be equal to resume: fingerprints of model and data, settings. Plain JSON.
    notes : mapping
        What may differ: versions, names, dates.
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
        """First row of a shard, and the row after its last."""
        return shard * self.shard_rows, min(self.rows, (shard + 1) * self.shard_rows)

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder` atomically."""
        text = {"format": FORMAT, **asdict(self)}
        write_whole(folder / NAME, json.dumps(text, indent=1).encode())

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Read the manifest of the store in `folder`.

        Raises
        ------
        CorruptFile
            When the folder holds no manifest, or it cannot be read.
        OtherStore
            When it was written by a later version of phosphene.
        """
        path = folder / NAME
        try:
            text = json.loads(path.read_text())
            version = int(text.pop("format"))
            if version > FORMAT:
                raise OtherStore(
                    f"{folder}: written in format {version}, but this version of phosphene reads formats up to {FORMAT}. "
                    "Install a later version."
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
        """Raise `OtherStore` unless `found`, the manifest in `folder`, belongs to the same run."""
        mine, theirs = _comparable(self), _comparable(found)
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                raise OtherStore(
                    f"out: {folder} holds a store of another run: its {key} is {_short(theirs.get(key))}, this run has "
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
