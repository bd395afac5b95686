"""`Store`: sharded arrays in a folder, written atomically and verified when read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptStore, InvalidParameter, MissingDependency, UnwritablePath, said
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import choice, instance, integer, integers, listed
from phosphene.kit.locks import alone
from phosphene.kit.places import given_path
from phosphene.kit.writing import check_writable, write_whole
from phosphene.store.chunks import METADATA, chunk_trouble, metadata_trouble
from phosphene.store.manifest import ArraySpec, Manifest
from phosphene.store.receipt import Receipt, is_digest
from phosphene.words import plain_message

__all__ = ["Store"]

CREATION = ".manifest.json.new.lock"
"""Lock of the creation of a store. A name like those of parts of its manifest, which a folder without a store may hold."""

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
        self._arrays: dict[tuple[str, str], Any] = {}
        self._last: dict[str, tuple[int, NDArray[Any]]] = {}

    @staticmethod
    def create(folder: str | Path, manifest: Manifest) -> Store:
        """Create a store, or open the one in the folder to resume it.

        A complete store is only read, so its folder need not be writable. The description of an array that was damaged is
        written anew; its values are kept.

        Raises
        ------
        OtherStore
            When the folder holds the store of another run.
        UnwritablePath
            When the folder cannot be written, or holds files that do not belong to a store.
        """
        place = given_path(folder, "folder")
        instance(
            "manifest", manifest, Manifest, "a Manifest", 'Manifest("activations", 100, 50, {"a": ArraySpec((8,))})'
        )
        if not os.path.lexists(place / "manifest.json"):
            # One process at a time: another would empty the folder in which this one has begun.
            with alone(check_writable(place / "manifest.json").with_name(CREATION), f"creating {place.name}"):
                return Store._create(place, manifest)
        found = Manifest.read(place)
        manifest.check(found, place)
        store = Store(place, found)
        if store.missing:
            check_writable(place / "manifest.json")
        store._mend()
        return store

    @staticmethod
    def _create(place: Path, manifest: Manifest) -> Store:
        """Create a store unless another process has; see `create`."""
        if os.path.lexists(place / "manifest.json"):
            return Store.create(place, manifest)
        if not _unfinished(place) and any(place.iterdir()):
            raise UnwritablePath(
                str(place), "the folder holds files that do not belong to a store. Choose an empty folder or a new one."
            )
        try:
            _zarr().open_group(place / "arrays", mode="w", zarr_format=3)
            for name, spec in manifest.arrays.items():
                _create(place / "arrays" / _escaped(name), name, manifest, spec)
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
        CorruptStore
            When an array is not what the manifest says.
        OtherStore
            When it was written by a later version of phosphene.
        """
        place = given_path(folder, "folder")
        store = Store(place, Manifest.read(place))
        for name, trouble in store._troubles().items():
            raise CorruptStore(
                str(place),
                f"the description of the array {name!r} is damaged ({trouble}). Run the call that wrote the store again to "
                "write it anew; the values are kept.",
            )
        return store

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.manifest.arrays)

    @property
    def missing(self) -> list[int]:
        """Shards that are not written yet."""
        try:
            there = set(os.listdir(self.folder / "shards"))
        except OSError:
            there = set()
        return [shard for shard in range(self.manifest.shards) if self._receipt(shard).name not in there]

    @property
    def complete(self) -> bool:
        """Whether every shard is written."""
        return not self.missing

    def write(
        self,
        shard: int,
        values: Mapping[str, NDArray[Any]],
        kept: Sequence[int] | None = None,
        *,
        pixels: str | None = None,
    ) -> None:
        """Write a shard; it exists only once all of it is on disk.

        Parameters
        ----------
        shard : int
        values : mapping of str to numpy.ndarray
            Rows of this shard, by array name.
        kept : sequence of int, optional
            Rows of the shard that hold data, counted from its first row, ascending (default: all). The others are never read.
        pixels : str, optional
            Digests of the images that the shard was computed from, 16 hexadecimal digits each; `receipt` returns them.

        Raises
        ------
        InvalidParameter
            For arrays whose shape does not match the manifest, and for rows and digests that no receipt can hold.
        UnwritablePath
            When writing fails; the shard then does not exist, and the other shards are unchanged.
        """
        start, stop = self.manifest.span(self._number(shard))
        if not isinstance(values, Mapping) or not all(name in values for name in self.names):
            raise InvalidParameter(
                "values",
                allowed=f"a mapping with the rows of {listed(self.names)}",
                received=values,
                fix="Give an array for each name in `names`.",
            )
        kept = None if kept is None else _ascending(kept, stop - start)
        if pixels is not None and not is_digest(pixels, stop - start):
            raise InvalidParameter(
                "pixels",
                allowed="16 hexadecimal digits per image",
                received=pixels,
                fix="See `phosphene.data.digests`.",
            )
        digests = {}
        for name, spec in self.manifest.arrays.items():
            rows = np.ascontiguousarray(array_like(f"values[{name!r}]", values[name], kinds="iufb"), spec.dtype)
            if rows.shape != (stop - start, *spec.shape):
                raise InvalidParameter(
                    f"values[{name!r}]",
                    allowed=f"shape {(stop - start, *spec.shape)}",
                    received=said(f"shape {rows.shape}"),
                    fix="Give every row of the shard, in the shape that the manifest states.",
                )
            digests[name] = _digest(rows)
            try:
                self._array(name, "r+")[start:stop] = rows
            except OSError as error:
                raise self._full(shard, error) from error
        try:
            Receipt(kept, digests, pixels).write(self._receipt(shard))
        except UnwritablePath as error:
            raise self._full(shard, error.__cause__ or error) from error

    def receipt(self, shard: int) -> Receipt:
        """What is known of a shard that is written: its rows, and digests of its values and images.

        Raises
        ------
        InvalidParameter
            When the shard is not written yet.
        CorruptStore
            When its receipt is damaged.
        """
        integer("shard", shard, maximum=max(self.manifest.shards - 1, 0))
        start, stop = self.manifest.span(shard)
        try:
            return Receipt.read(self._receipt(shard), self.manifest.arrays, stop - start)
        except FileNotFoundError as error:
            raise InvalidParameter(
                "shard",
                allowed="a shard that is written",
                received=shard,
                fix=f"{self.folder} is not complete: run the call that wrote it again to resume.",
            ) from error

    def shard(self, name: str, shard: int) -> NDArray[Any]:
        """Read and verify the rows of a shard that hold data.

        Raises
        ------
        InvalidParameter
            When there is no array of that name, or the shard is not written yet.
        CorruptStore
            When its values differ from those that were written.
        """
        spec, shard = self._spec(name), self._number(shard)
        if name in self._last and self._last[name][0] == shard:
            return self._last[name][1]
        receipt = self.receipt(shard)
        start, stop = self.manifest.span(shard)
        trouble = (
            chunk_trouble(self._place(name), self.manifest, spec, shard) if stop > start and 0 not in spec.shape else ""
        )
        if trouble:
            raise self._damaged(name, shard, trouble)
        try:
            rows = np.asarray(self._array(name)[start:stop])
        except Exception as error:
            # zarr and its codecs share no exception for damaged data.
            raise self._damaged(name, shard, str(error)) from error
        if _digest(np.ascontiguousarray(rows, spec.dtype)) != receipt.digests[name]:
            raise self._damaged(name, shard, "its values differ from those that were written")
        rows = rows if receipt.kept is None else rows[list(receipt.kept)]
        self._last[name] = (shard, rows)
        return rows

    def shards(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield all shards of an array in order, with one in memory at a time."""
        for number in range(self.manifest.shards):
            yield self.shard(name, number)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read and verify rows `start` to `stop` (default: the last), counting only rows that hold data.

        Negative ones count from the end, as in a slice.

        Raises
        ------
        InvalidParameter
            When there is no array of that name, for something else than integers, and when a shard is not written yet.
        CorruptStore
            When values differ from those that were written.
        """
        spec = self._spec(name)
        start = integer("start", start, minimum=-(2**62))
        stop = None if stop is None else integer("stop", stop, minimum=-(2**62))
        counts = np.cumsum([0, *(self._count(shard) for shard in range(self.manifest.shards))])
        first, last, _ = slice(start, stop).indices(int(counts[-1]))
        parts = []
        for shard in range(self.manifest.shards):
            low, high = max(first, int(counts[shard])), min(last, int(counts[shard + 1]))
            if low < high:
                parts.append(self.shard(name, shard)[low - counts[shard] : high - counts[shard]])
        return np.concatenate(parts) if parts else np.empty((0, *spec.shape), spec.dtype)

    def rows(self) -> NDArray[np.int64]:
        """Index in the data of each row, in order."""
        parts = []
        for shard in range(self.manifest.shards):
            start, stop = self.manifest.span(shard)
            kept = self.receipt(shard).kept
            parts.append(np.arange(start, stop) if kept is None else start + np.asarray(kept, np.int64))
        return np.concatenate(parts).astype(np.int64)

    def verify(self) -> list[int]:
        """Shards that are written but damaged in any array."""
        damaged: list[int] = []
        missing = set(self.missing)
        for shard in range(self.manifest.shards):
            if shard not in missing:
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
        try:
            self._receipt(self._number(shard)).unlink(missing_ok=True)
        except OSError as error:
            raise UnwritablePath(
                str(self._receipt(shard)), f"{error.strerror or error}. Delete it, so that the shard is computed again."
            ) from error

    def __repr__(self) -> str:
        there = self.manifest.shards - len(self.missing)
        head = f"Store of {self.manifest.kind}, {self.manifest.rows:,} rows, {there} of {self.manifest.shards} shards written"
        lines = [
            f"  {name}: {' x '.join(map(str, spec.shape))} {spec.dtype}" for name, spec in self.manifest.arrays.items()
        ]
        return plain_message("\n".join([head, *lines]))

    def _array(self, name: str, mode: Literal["r", "r+"] = "r") -> Any:
        if (name, mode) not in self._arrays:
            self._arrays[name, mode] = _zarr().open_array(self._place(name), mode=mode)
        return self._arrays[name, mode]

    def _place(self, name: str) -> Path:
        return self.folder / "arrays" / _escaped(name)

    def _troubles(self) -> dict[str, str]:
        """What is wrong with the description of each array whose description is damaged."""
        found = {
            name: metadata_trouble(self._place(name), self.manifest, spec)
            for name, spec in self.manifest.arrays.items()
        }
        return {name: trouble for name, trouble in found.items() if trouble}

    def _mend(self) -> None:
        """Write damaged descriptions of arrays anew, as the manifest states them."""
        try:
            for name in self._troubles():
                _create(self._place(name), name, self.manifest, self.manifest.arrays[name])
        except OSError as error:
            raise UnwritablePath(str(self.folder), f"{error.strerror or error}. {RESUME}") from error

    def _spec(self, name: str) -> Any:
        return self.manifest.arrays[choice("name", name, self.names)]

    def _number(self, shard: int) -> int:
        return integer("shard", shard, maximum=self.manifest.shards - 1)

    def _receipt(self, shard: int) -> Path:
        return self.folder / "shards" / f"{shard:06d}.json"

    def _count(self, shard: int) -> int:
        start, stop = self.manifest.span(shard)
        kept = self.receipt(shard).kept
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


def _create(place: Path, name: str, manifest: Manifest, spec: ArraySpec) -> None:
    """Write the description of an array; chunks that are there stay."""
    zarr = _zarr()
    files: dict[str, Any] = {}
    zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=(manifest.rows, *spec.shape),
        chunks=(manifest.shard_rows, *spec.shape),
        dtype=spec.dtype,
        compressors=zarr.codecs.ZstdCodec(level=1, checksum=True),
        attributes={"name": name},
        zarr_format=3,
    )
    write_whole(place / METADATA, files[METADATA].to_bytes())


def _ascending(kept: Sequence[int], rows: int) -> tuple[int, ...]:
    numbers = integers("kept", kept, maximum=max(rows - 1, 0))
    if any(later <= row for row, later in pairwise(numbers)):
        raise InvalidParameter("kept", allowed="rows in ascending order", received=kept, fix="Sort them.")
    return numbers


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
