"""The files of an array of a store, checked before zarr reads them: what they say of themselves decides how much it allocates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from phosphene.kit.documents import DAMAGE, json_from, open_regular, read_regular
from phosphene.store.manifest import ArraySpec, Manifest

__all__ = ["METADATA", "chunk_trouble", "metadata_trouble"]

METADATA = "zarr.json"
"""Name of zarr's own description of an array."""

MOST_BYTES = 1 << 20
"""Bytes of such a description; ours have less than a thousand."""

MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of a frame of Zstandard (RFC 8878)."""


def metadata_trouble(folder: Path, manifest: Manifest, spec: ArraySpec) -> str:
    """What keeps the description of an array in `folder` from being the one that the manifest asks for, or nothing."""
    try:
        found = json_from(read_regular(folder / METADATA, MOST_BYTES))
        wanted = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [manifest.rows, *spec.shape],
            "data_type": spec.dtype,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [manifest.shard_rows, *spec.shape]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": False if np.dtype(spec.dtype).kind == "b" else 0,
        }
        for key, value in wanted.items():
            if found[key] != value or isinstance(found[key], bool) is not isinstance(value, bool):
                return f"its {key} is {found[key]!r:.80}, where the manifest asks for {value!r:.80}"
        names = [codec["name"] for codec in found["codecs"]]
        first = found["codecs"][0].get("configuration") or {}
        if names != ["bytes", "zstd"] or first.get("endian", "little") != "little":
            return f"its codecs are {found['codecs']!r:.80}"
        return "" if not found.get("storage_transformers") else "it has storage transformers"
    except DAMAGE as error:
        return getattr(error, "strerror", None) or f"{error}"[:200] or type(error).__name__


def chunk_trouble(folder: Path, manifest: Manifest, spec: ArraySpec, shard: int) -> str:
    """What is wrong with the file of a chunk as far as its first bytes tell, or nothing."""
    try:
        with open_regular(folder.joinpath("c", str(shard), *("0" for _ in spec.shape))) as stream:
            start = stream.read(18)
        size = _content_size(start)
    except FileNotFoundError:
        return ""  # zarr leaves out chunks of zeros; whether this was one, its digest tells
    except DAMAGE as error:
        return getattr(error, "strerror", None) or f"{error}"
    wanted = manifest.shard_rows * math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
    return "" if size == wanted else f"it would unpack to {size:,} bytes instead of {wanted:,}"


def _content_size(start: bytes) -> int:
    """Number of bytes to which a frame of Zstandard says it unpacks."""
    if start[:4] != MAGIC or len(start) < 6:
        raise ValueError("it is not compressed with Zstandard")
    descriptor = start[4]
    whole = bool(descriptor & 0x20)  # one segment: no size of a window
    width = (1 if whole else 0, 2, 4, 8)[descriptor >> 6]
    first = 5 + (not whole) + (0, 1, 2, 4)[descriptor & 3]
    field = start[first : first + width]
    if not width or len(field) < width:
        raise ValueError("it does not say to how many bytes it unpacks")
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)
