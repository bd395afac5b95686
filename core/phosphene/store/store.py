"""`Store`: sharded arrays in a folder, written atomically and verified when read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptStore, InvalidParameter, MissingDependency, UnwritablePath, said
from phosphene.kit.checks import choice
from phosphene.kit.writing import check_writable, write_whole
from phosphene.store.manifest import Manifest

__all__ = ["Store"]


RESUME = "All complete shards are kept. Free disk space and run again to resume, or choose another folder with `out`."


class Store:
    """Arrays in a folder, with one row per item of the data; see `phosphene.store` for the layout.

    Parameters
    ----------
    folder : Path
    manifest : Manifest

    Notes
    -----
    Made by `create` and `open`. Only the shards that are needed are read, and the last one of each array is cached.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._arrays: dict[str, Any] = {}
        self._last: dict[str, tuple[int, NDArray[Any]]] = {}

    @staticmethod
    def create(folder: str | Path, manifest: Manifest) -> Store:
        """Create a store, or open the one in the folder to resume it.

        Raises
        ------
        OtherStore
            When the folder holds the store of another run.
        UnwritablePath
            When the folder cannot be written, or holds files that do not belong to a store.
        """
        place = Path(folder)
        check_writable(place / "manifest.json")
        if (place / "manifest.json").exists():
            found = Manifest.read(place)
            manifest.check(found, place)
            return Store(place, found)
        if not _unfinished(place) and any(place.iterdir()):
            raise UnwritablePath(
                str(place), "the folder holds files that do not belong to a store. Choose an empty folder or a new one."
            )
        zarr = _zarr()
        try:
            group = zarr.open_group(place / "arrays", mode="w", zarr_format=3)
            for name, spec in manifest.arrays.items():
                group.create_array(
                    _escaped(name),
                    shape=(manifest.rows, *spec.shape),
                    chunks=(manifest.shard_rows, *spec.shape),
                    dtype=spec.dtype,
                    compressors=zarr.codecs.ZstdCodec(level=1, checksum=True),
                    attributes={"name": name},
                )
            (place / "shards").mkdir(exist_ok=True)
        except OSError as error:
            raise UnwritablePath(str(place), f"{error.strerror or error}. {RESUME}") from error
        manifest.write(place)  # last: a folder without a manifest is not a store
        return Store(place, manifest)

    @staticmethod
    def open(folder: str | Path) -> Store:
        """Open the store in `folder` for reading.

        Raises
        ------
        CorruptFile
            When the folder is not a store.
        OtherStore
            When it was written by a later version of phosphene.
        """
        place = Path(folder)
        return Store(place, Manifest.read(place))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.manifest.arrays)

    @property
    def missing(self) -> list[int]:
        """Shards that are not written yet."""
        return [shard for shard in range(self.manifest.shards) if not self._receipt(shard).exists()]

    @property
    def complete(self) -> bool:
        """Whether every shard is written."""
        return not self.missing

    def write(self, shard: int, values: Mapping[str, NDArray[Any]], kept: Sequence[int] | None = None) -> None:
        """Write a shard; it exists only once all of it is on disk.

        Parameters
        ----------
        shard : int
        values : mapping of str to numpy.ndarray
            Rows of this shard, by array name.
        kept : sequence of int, optional
            Rows of the shard that hold data, counted from its first row (default: all). The others are never read.

        Raises
        ------
        InvalidParameter
            For arrays whose shape does not match the manifest.
        UnwritablePath
            When writing fails; the shard then does not exist, and the other shards are unchanged.
        """
        start, stop = self.manifest.span(shard)
        digests = {}
        for name, spec in self.manifest.arrays.items():
            rows = np.ascontiguousarray(values[name], spec.dtype)
            if rows.shape != (stop - start, *spec.shape):
                raise InvalidParameter(
                    f"values[{name!r}]",
                    allowed=f"shape {(stop - start, *spec.shape)}",
                    received=said(f"shape {rows.shape}"),
                    fix="Give every row of the shard, in the shape that the manifest states.",
                )
            digests[name] = _digest(rows)
            try:
                self._array(name)[start:stop] = rows
            except OSError as error:
                raise self._full(shard, error) from error
        receipt = {"kept": None if kept is None else [int(row) for row in kept], "digests": digests}
        try:
            write_whole(self._receipt(shard), json.dumps(receipt).encode())
        except UnwritablePath as error:
            raise self._full(shard, error.__cause__ or error) from error

    def shard(self, name: str, shard: int) -> NDArray[Any]:
        """Read and verify the rows of a shard that hold data.

        Raises
        ------
        InvalidParameter
            When there is no array of that name, or the shard is not written yet.
        CorruptStore
            When its values differ from those that were written.
        """
        spec = self._spec(name)
        if name in self._last and self._last[name][0] == shard:
            return self._last[name][1]
        receipt = self._read_receipt(shard)
        start, stop = self.manifest.span(shard)
        try:
            rows = np.asarray(self._array(name)[start:stop])
        except Exception as error:
            # zarr and its codecs share no exception for damaged data.
            raise self._damaged(name, shard, str(error)) from error
        if _digest(np.ascontiguousarray(rows, spec.dtype)) != receipt["digests"].get(name):
            raise self._damaged(name, shard, "its values differ from those that were written")
        rows = rows if receipt["kept"] is None else rows[receipt["kept"]]
        self._last[name] = (shard, rows)
        return rows

    def shards(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield all shards of an array in order, with one in memory at a time."""
        for number in range(self.manifest.shards):
            yield self.shard(name, number)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read and verify rows `start` to `stop` (default: the last), counting only rows that hold data."""
        counts = np.cumsum([0, *(self._count(shard) for shard in range(self.manifest.shards))])
        first, last, _ = slice(start, stop).indices(int(counts[-1]))
        parts = []
        for shard in range(self.manifest.shards):
            low, high = max(first, int(counts[shard])), min(last, int(counts[shard + 1]))
            if low < high:
                parts.append(self.shard(name, shard)[low - counts[shard] : high - counts[shard]])
        spec = self._spec(name)
        return np.concatenate(parts) if parts else np.empty((0, *spec.shape), spec.dtype)

    def rows(self) -> NDArray[np.int64]:
        """Index in the data of each row, in order."""
        parts = []
        for shard in range(self.manifest.shards):
            start, stop = self.manifest.span(shard)
            kept = self._read_receipt(shard)["kept"]
            parts.append(np.arange(start, stop) if kept is None else start + np.asarray(kept, np.int64))
        return np.concatenate(parts).astype(np.int64)

    def verify(self) -> list[int]:
        """Shards that are written but damaged in any array."""
        damaged = []
        for shard in range(self.manifest.shards):
            if self._receipt(shard).exists():
                self._last.clear()
                try:
                    for name in self.names:
                        self.shard(name, shard)
                except CorruptStore:
                    damaged.append(shard)
        self._last.clear()
        return damaged

    def discard(self, shard: int) -> None:
        """Remove a shard, so that it is computed again."""
        self._last.clear()
        self._receipt(shard).unlink(missing_ok=True)

    def __repr__(self) -> str:
        there = self.manifest.shards - len(self.missing)
        head = f"Store of {self.manifest.kind}, {self.manifest.rows:,} rows, {there} of {self.manifest.shards} shards written"
        lines = [
            f"  {name}: {' x '.join(map(str, spec.shape))} {spec.dtype}" for name, spec in self.manifest.arrays.items()
        ]
        return "\n".join([head, *lines])

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            self._arrays[name] = _zarr().open_array(self.folder / "arrays" / _escaped(name), mode="r+")
        return self._arrays[name]

    def _spec(self, name: str) -> Any:
        return self.manifest.arrays[choice("name", name, self.names)]

    def _receipt(self, shard: int) -> Path:
        return self.folder / "shards" / f"{shard:06d}.json"

    def _read_receipt(self, shard: int) -> dict[str, Any]:
        try:
            receipt: dict[str, Any] = json.loads(self._receipt(shard).read_text())
            return {"kept": receipt["kept"], "digests": receipt["digests"]}
        except FileNotFoundError as error:
            raise InvalidParameter(
                "shard",
                allowed="a shard that is written",
                received=shard,
                fix=f"{self.folder} is not complete: run the call that wrote it again to resume.",
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptStore(
                str(self._receipt(shard)), "damaged; run the call that wrote the store again to rebuild the shard"
            ) from error

    def _count(self, shard: int) -> int:
        start, stop = self.manifest.span(shard)
        kept = self._read_receipt(shard)["kept"]
        return stop - start if kept is None else len(kept)

    def _full(self, shard: int, error: BaseException) -> UnwritablePath:
        reason = getattr(error, "strerror", None) or str(error)
        return UnwritablePath(str(self.folder), f"{reason} (at shard {shard} of {self.manifest.shards}). {RESUME}")

    def _damaged(self, name: str, shard: int, detail: str) -> CorruptStore:
        return CorruptStore(
            str(self.folder),
            f"shard {shard} of {name!r} is damaged ({detail}). Run the call that wrote the store again to rebuild it.",
        )


def _unfinished(place: Path) -> bool:
    """Whether a folder holds only what `Store.create` makes before it writes the manifest."""
    shards = place / "shards"
    return {path.name for path in place.iterdir() if not path.name.startswith(".manifest.json.")} <= {
        "arrays",
        "shards",
    } and not ((shards.exists() and any(shards.iterdir())) or _chunks(place / "arrays"))


def _chunks(arrays: Path) -> bool:
    return any(
        path.is_file() and path.name != "zarr.json" and ".partial" not in path.name for path in arrays.rglob("*")
    )


def _digest(rows: NDArray[Any]) -> str:
    return hashlib.blake2b(rows.data, digest_size=16).hexdigest() if rows.size else ""


def _escaped(name: str) -> str:
    """An array name as a folder name: characters that are special to file systems or zarr are written as hexadecimal."""
    return re.sub(r"[^A-Za-z0-9_.-]|^\.", lambda found: f"%{ord(found[0]):02x}", name)


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependency("zarr", "store") from error
    return zarr
