"""Shards of WebDataset: tar archives whose entries of one key are a sample, of which the image is read."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from numpy.typing import NDArray

from phosphene.data.file_places import LARGEST_FILE, ContentSource, Place
from phosphene.data.formats import ENDINGS, hidden
from phosphene.data.items import Conversion
from phosphene.data.source import Source
from phosphene.errors import CorruptFile, InvalidParameter, PhospheneError, said
from phosphene.kit.checks import listed

__all__ = ["MOST_SHARDS", "ShardSource", "expanded", "is_shard", "source_of_shards"]

LOG = logging.getLogger("phosphene")

MOST_SHARDS = 100_000
"""Names that a pattern with braces may stand for."""

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True)
class Entry:
    """A picture file within a shard."""

    shard: int
    start: int
    length: int
    name: str


@dataclass(frozen=True)
class ShardSource(Source):
    """The images of shards, read where they lie: no archive is unpacked."""

    shards: tuple[Place, ...]
    entries: tuple[Entry, ...]
    conversion: Conversion

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def of_files(self) -> bool:
        return all(shard.dated for shard in self.shards)

    def image(self, index: int) -> NDArray[Any]:
        return self.conversion.image(self._content(index), self.name(index))

    def name(self, index: int) -> str:
        entry = self.entries[index]
        return f"{self.shards[entry.shard].name}: {entry.name}"

    def identity(self) -> str:
        digest = hashlib.blake2b("\n".join(shard.stamp() for shard in self.shards).encode(), digest_size=16)
        rule = self.conversion
        return (
            f"{len(self.entries)} images in {len(self.shards)} shards {rule.size} {rule.channels} {rule.fit} "
            f"{rule.column} {digest.hexdigest()}"
        )

    def part(self, index: int) -> tuple[Source, int]:
        entry = self.entries[index]
        shard = self.shards[entry.shard]
        if shard.everywhere:
            alone = Entry(0, entry.start, entry.length, entry.name)
            return ShardSource((shard,), (alone,), self.conversion), 0
        return ContentSource(self._content(index), self.name(index), self.conversion), 0

    def _content(self, index: int) -> bytes:
        entry = self.entries[index]
        content = self.shards[entry.shard].part(entry.start, entry.length)
        if len(content) != entry.length:
            raise CorruptFile(self.name(index), "the archive ends within it: it is truncated, or was written anew")
        return content


def is_shard(name: str) -> bool:
    """Whether a file is a tar archive, by its name.

    Raises
    ------
    InvalidParameter
        For a compressed one, in which no image can be read without all before it.
    """
    lower = name.lower()
    if lower.endswith(_COMPRESSED):
        raise InvalidParameter(
            "images",
            allowed="tar archives that are not compressed, whose images can be read in any order",
            received=name,
            fix="Uncompress it first; pictures are compressed already, so it hardly grows: gzip -d, for example.",
        )
    return lower.endswith(".tar")


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for, in its order: ``{000..009}`` counts, ``{a,b}`` lists.

    Raises
    ------
    InvalidParameter
        For more than `MOST_SHARDS` names.
    """
    parts: list[list[str]] = []
    end, total = 0, 1
    for found in _BRACES.finditer(pattern):
        parts.append([pattern[end : found.start()]])
        end = found.end()
        first, last, several = found.groups()
        if several is None:
            low, high = int(first), int(last)
            length = abs(high - low) + 1
        else:
            length = several.count(",") + 1
        total *= length
        if total > MOST_SHARDS:
            raise InvalidParameter(
                "images", allowed=f"a pattern of at most {MOST_SHARDS:,} names", received=pattern, fix="Count to less."
            )
        if several is None:
            width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
            step = 1 if high >= low else -1
            parts.append([f"{number:0{width}d}" for number in range(low, high + step, step)])
        else:
            parts.append(several.split(","))
    parts.append([pattern[end:]])
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def source_of_shards(shards: Sequence[Place], conversion: Conversion) -> ShardSource:
    """Find the images of shards; only the headers of their entries are read.

    Parameters
    ----------
    shards : sequence of Place
        In the order in which their images are read.
    conversion : Conversion
        Its `column` is the ending of the image, where a sample has several.

    Returns
    -------
    ShardSource

    Raises
    ------
    CorruptFile
        For a file that is no tar archive, or is truncated.
    InvalidParameter
        If no sample has an image, or one has several.

    Notes
    -----
    Entries in a row are a sample if their names are equal up to the first dot. Its image is the entry with the ending of an
    image; whatever else a sample holds is not read.
    """
    entries: list[Entry] = []
    others: dict[str, None] = {}
    without = 0
    for number, shard in enumerate(shards):
        for _, group in itertools.groupby(_members(shard), key=lambda member: _key(member.name)):
            sample = {_ending(member.name): member for member in group}
            found = _image(sample, conversion.column, shard)
            if found is None:
                without += 1
                others.update(dict.fromkeys(list(sample)[: max(0, 20 - len(others))]))
                continue
            if found.size > LARGEST_FILE:
                raise CorruptFile(
                    f"{shard.name}: {found.name}", f"too large to be a picture: at most {LARGEST_FILE:,} bytes are read"
                )
            entries.append(Entry(number, found.offset_data, found.size, found.name))
    if not entries:
        what = f"samples of {listed(list(others))}" if others else "no files"
        raise InvalidParameter(
            "images" if conversion.column is None else "column",
            allowed="shards whose samples hold an image, such as 0001.jpg beside 0001.cls",
            received=said(what),
            fix=f"Images end in {listed(sorted(ENDINGS))}.",
        )
    if without:
        LOG.warning("%d samples without an image were left out", without)
    return ShardSource(tuple(shards), tuple(entries), conversion)


def _image(sample: dict[str, tarfile.TarInfo], column: str | None, shard: Place) -> tarfile.TarInfo | None:
    if column is not None:
        return sample.get(column.removeprefix("."))
    images = [ending for ending in sample if f".{ending.rpartition('.')[2]}" in ENDINGS]
    # 0001.jpg is the image of its sample, 0001.seg.png belongs to it.
    plain = [ending for ending in images if "." not in ending] or images
    if len(plain) > 1:
        name = next(iter(sample.values())).name
        raise InvalidParameter(
            "column",
            allowed=listed(plain[:20]),
            received=None,
            fix=f"{shard.name} holds several images for {_key(name)!r}: ph.images(..., column={plain[0]!r}).",
        )
    return sample[plain[0]] if plain else None


def _members(shard: Place) -> Iterator[tarfile.TarInfo]:
    """The regular files of an archive, in its order."""
    try:
        with shard.open() as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                parts = member.name.split("/")
                if member.isreg() and not member.issparse() and not any(hidden(part) for part in parts if part != "."):
                    yield member
                archive.members = []  # type: ignore[attr-defined]  # kept, they would grow with the archive
            _check_end(archive, stream, shard)
    except PhospheneError:
        raise
    except tarfile.ReadError as error:
        raise CorruptFile(shard.name, f"cannot be read as a tar archive ({error})") from error
    except Exception as error:  # headers that are damaged, and file systems, share no exception
        raise CorruptFile(shard.name, f"cannot be read ({str(error) or type(error).__name__})") from error


def _check_end(archive: tarfile.TarFile, stream: IO[bytes], shard: Place) -> None:
    """Tarfile takes a damaged header for the end of the archive; the end is an empty block, or that of the file."""
    stream.seek(archive.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise CorruptFile(shard.name, f"cannot be read as a tar archive: it is damaged at byte {archive.offset:,}")
    if not block:
        LOG.warning("%s: it ends without the mark of an archive's end; it may be cut off", shard.name)


def _key(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _ending(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[2].lower()
