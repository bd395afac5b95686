"""The header of a safetensors file, checked before anybody maps the file into memory or believes its sizes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from phosphene.kit.documents import json_from, open_regular

__all__ = ["check_tensors"]

MOST_HEADER = 100_000_000
"""Bytes of a header; the limit of the format."""


def check_tensors(path: str | Path) -> None:
    """Check that a safetensors file is a regular file whose length is that of its header and of the arrays that this lists.

    Raises
    ------
    OSError
        When there is no such file, or it cannot be opened.
    ValueError
        When it is something else.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(8)
        if len(start) < 8:
            raise ValueError("it is too short for a header")
        (length,) = struct.unpack("<Q", start)
        if length > min(MOST_HEADER, size - 8):
            raise ValueError(f"its header would have {length:,} bytes")
        header = json_from(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    arrays = [words for name, words in header.items() if name != "__metadata__"]
    ends = [words.get("data_offsets") if isinstance(words, dict) else None for words in arrays]
    if not all(isinstance(end, list) and len(end) == 2 and all(type(part) is int for part in end) for end in ends):
        raise ValueError("its header does not say where its arrays are")
    if size != 8 + length + max((end[1] for end in ends if end), default=0):
        raise ValueError("its length is not that of its arrays")
