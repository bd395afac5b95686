"""The receipt of a shard: which of its rows hold data, and digests of what was written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar

from phosphene.errors import CorruptStore
from phosphene.kit.documents import read_document
from phosphene.kit.records import Between
from phosphene.kit.writing import write_whole

__all__ = ["Receipt", "is_digest"]

FIX = "Run the call that wrote the store again to rebuild the shard."

BYTES_OF_ROW = 48
"""More characters than the number and the digest of a row take in a receipt."""


@dataclass(frozen=True)
class Receipt:
    """What is known of a shard that is written.

    Attributes
    ----------
    kept : tuple of int, optional
        Rows of the shard that hold data, counted from its first row; None for all.
    digests : mapping of str to str
        Digest of the values of each array.
    pixels : str, optional
        Digests of the images that the shard was computed from, in hexadecimal, 16 digits each.
    check : str, optional
        Digest of the fields above; None in receipts of earlier versions.
    """

    open_ended: ClassVar[bool] = True
    added: ClassVar[tuple[str, ...]] = ("pixels", "check")

    kept: tuple[Annotated[int, Between(0)], ...] | None
    digests: Mapping[str, str]
    pixels: str | None = None
    check: str | None = None

    @property
    def own_check(self) -> str:
        """Digest of what the receipt says, which `check` must be."""
        said = [None if self.kept is None else list(self.kept), dict(self.digests), self.pixels]
        return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()

    def write(self, path: Path) -> None:
        """Write the receipt, with its own digest, whole or not at all."""
        write_whole(path, json.dumps({**asdict(self), "check": self.own_check}).encode())

    @staticmethod
    def read(path: Path, arrays: Mapping[str, object], rows: int) -> Receipt:
        """Read a receipt and check it.

        Parameters
        ----------
        path : Path
        arrays : mapping
            Arrays of the store, by name.
        rows : int
            Rows of the shard.

        Returns
        -------
        Receipt

        Raises
        ------
        FileNotFoundError
            When there is none.
        CorruptStore
            When it is damaged, or not of such a shard.
        """
        most = 4096 + 512 * len(arrays) + BYTES_OF_ROW * rows
        found = read_document(path, Receipt, most_bytes=most, what="a receipt", fix=FIX, error=CorruptStore)
        trouble = _trouble(found, arrays, rows)
        if trouble:
            raise CorruptStore(str(path), f"damaged ({trouble}). {FIX}")
        return found


def _trouble(found: Receipt, arrays: Mapping[str, object], rows: int) -> str:
    """What is wrong with a receipt, or nothing."""
    if found.check is not None and found.check != found.own_check:
        return "it is not what was written"
    kept = found.kept
    if kept and (kept[-1] >= rows or any(later <= row for row, later in pairwise(kept))):
        return f"its rows are not numbers below {rows} in ascending order"
    if found.digests.keys() != dict(arrays).keys() or not all(map(is_digest, found.digests.values())):
        return "its digests are not those of the arrays"
    return "" if found.pixels is None or is_digest(found.pixels, rows) else "its digest of the images is none"


def is_digest(text: object, images: int = 0) -> bool:
    """Whether a value is a digest in hexadecimal, the empty one of nothing, or the digests of that many images together."""
    return isinstance(text, str) and len(text) <= max(128, 16 * images) and re.fullmatch("[0-9a-f]*", text) is not None
