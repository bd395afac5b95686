"""The payload: data as text inside the page, or in files beside it if the page would grow too large."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.viewer.sprites import Sheet, encode

__all__ = ["Block", "choose_quality", "pack_columns", "pack_sheets", "part"]

QUALITIES = (80, 65, 50)
"""WebP qualities, best first."""

SAMPLE = 6
"""Number of sheets that are encoded at each quality to estimate the total size."""


@dataclass(frozen=True)
class Block:
    """One piece of the payload.

    Attributes
    ----------
    name : str
        Lower-case letters, digits and hyphens.
    text : str
        Base64.
    rank : int
        Order of loading; blocks of rank 0 stay in the page.
    """

    name: str
    text: str
    rank: int

    @property
    def file(self) -> str:
        """Name of its file beside the page, which includes a digest, so that pages never load each other's files."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:10]}.js"

    @property
    def script(self) -> bytes:
        """Content of that file."""
        return f'phosphene_chunk("{self.name}","{self.text}");\n'.encode()


def pack_columns(name: str, columns: Mapping[str, NDArray[Any]]) -> tuple[Block, list[list[Any]]]:
    """Pack columns into one block, with a directory: name, dtype, offset in bytes and number of values of each."""
    directory: list[list[Any]] = []
    parts, offset = [], 0
    for key, values in columns.items():
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        directory.append([key, str(values.dtype), offset, int(values.size)])
        content = plain.tobytes()
        content += bytes(-len(content) % 8)
        parts.append(content)
        offset += len(content)
    packed = gzip.compress(b"".join(parts), 6, mtime=0)
    return Block(name, base64.b64encode(packed).decode(), 0), directory


def choose_quality(sheets: Sequence[Sheet], room: float) -> int:
    """The best quality at which all sheets fit into `room` bytes of text, or the lowest if none does."""
    some = list(sheets)[:: max(1, len(sheets) // SAMPLE)]
    total, shown = sum(sheet.pixels.size for sheet in sheets), sum(sheet.pixels.size for sheet in some)
    for quality in QUALITIES[:-1]:
        size = sum(len(encode(sheet.pixels, quality)) for sheet in some)
        if size * total / max(1, shown) * 4 / 3 <= room * 0.97:
            return quality
    return QUALITIES[-1]


def pack_sheets(sheets: Sequence[Sheet], quality: int) -> list[Block]:
    """Encode sheets as blocks."""
    return [Block(sheet.name, base64.b64encode(encode(sheet.pixels, quality)).decode(), sheet.rank) for sheet in sheets]


def part(blocks: Sequence[Block], room: float) -> tuple[list[Block], list[Block]]:
    """Split blocks into those that fit into `room` bytes of the page and those beside it, by order of loading."""
    order = sorted(blocks, key=lambda block: block.rank)
    inside: list[Block] = []
    for place, block in enumerate(order):
        room -= len(block.text) + 80
        if room < 0 and block.rank > 0:
            return inside, order[place:]
        inside.append(block)
    return inside, []
