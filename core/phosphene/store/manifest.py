"""The manifest of a store: what it contains and how it was made, as plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from phosphene.errors import CorruptFile, InvalidParameter, OtherStore, said
from phosphene.kit.documents import read_document
from phosphene.kit.records import Between
from phosphene.kit.writing import write_whole

__all__ = ["FORMAT", "ArraySpec", "Manifest"]

FORMAT = 1
"""Version of the layout; a reader supports its own version and all earlier ones."""

NAME = "manifest.json"

MOST_SHARDS = 1_000_000
"""More shards than any disk holds; their receipts are counted one by one."""

MOST_BYTES = 1 << 60
"""Bytes of a shard beyond all machines; a larger number is a mistake, and breaks the arithmetic of NumPy."""


@dataclass(frozen=True)
class ArraySpec:
    """Shape of a row of one array of a store, and the name of its NumPy dtype: floats, integers or booleans."""

    open_ended: ClassVar[bool] = True

    shape: tuple[Annotated[int, Between(0, MOST_BYTES)], ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        try:
            known = np.dtype(self.dtype).kind in "fiub" and np.dtype(self.dtype).name == self.dtype
        except (TypeError, ValueError):
            known = False
        if not known:
            raise InvalidParameter(
                "dtype",
                allowed="the name of a NumPy dtype of numbers",
                received=self.dtype,
                fix="For example 'float32'.",
            )

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


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

    open_ended: ClassVar[bool] = True

    kind: str
    rows: Annotated[int, Between(0)]
    shard_rows: Annotated[int, Between(1)]
    arrays: Mapping[str, ArraySpec]
    identity: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bytes_of_shard = self.shard_rows * sum(spec.row_bytes for spec in self.arrays.values())
        if self.shards > MOST_SHARDS or bytes_of_shard > MOST_BYTES:
            raise InvalidParameter(
                "rows",
                allowed=f"at most {MOST_SHARDS:,} shards of at most {MOST_BYTES:,} bytes",
                received=said(f"{self.shards:,} shards of {bytes_of_shard:,} bytes"),
                fix="Divide the data among several stores.",
            )

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
        try:
            return read_document(folder / NAME, Manifest, newest=FORMAT, what="the manifest of a store")
        except FileNotFoundError as error:
            raise CorruptFile(str(folder), f"not a store: it has no {NAME}") from error

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
