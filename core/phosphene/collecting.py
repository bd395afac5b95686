"""Activations of many images, streamed into a store: in bounded memory, and going on where a run was killed."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from phosphene.activations import Reading
from phosphene.arrays import filled
from phosphene.ascent import Progress
from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.streaming import check_on_error, stream
from phosphene.errors import InvalidParameter
from phosphene.progress import reporter
from phosphene.rendering import describe
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.targets import MEMORY_BUDGET
from phosphene.writing import check_writable

__all__ = ["batch_by_memory", "collect", "need"]

SHARD_BYTES = 16 << 20
"""Bytes of all arrays together that one shard has, about: what is lost when a run is killed, and what is held in memory."""

LOG = logging.getLogger("phosphene")


def collect(
    network: Network,
    source: Source,
    layers: Sequence[str],
    out: str | Path,
    *,
    dtype: str = "float32",
    batch: int | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Store:
    """Stream activations of `layers` into the store `out`; see `phosphene.activations`.

    Returns
    -------
    Store
        Complete, unless `progress` stopped it: then it goes on when it is called again.
    """
    _check(dtype, on_error)
    size = network.input.size
    with network.scope():
        shapes = network.shapes(size)
    arrays = {path: ArraySpec(tuple(shapes[path]), dtype) for path in layers}
    batch = batch_by_memory(network, layers) if batch is None else batch
    batch = min(batch, len(source))
    row_bytes = max(1, sum(spec.row_bytes for spec in arrays.values()))
    shard_rows = min(len(source), max(1, SHARD_BYTES // row_bytes // batch) * batch)
    manifest = Manifest(
        "activations",
        len(source),
        shard_rows,
        arrays,
        # Rounding depends on the batch: a store whose second half was read in other batches would not be one store.
        identity={"model": network.fingerprint(), "data": source.identity(), "size": list(size), "batch": batch},
        notes={**describe(network, 0, size), "date": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    folder = check_writable(Path(out) / "manifest.json").parent
    LOG.info("%s; %s are free at %s", need(arrays, len(source)), _bytes(shutil.disk_usage(folder).free), folder)
    store = Store.create(folder, manifest)
    for shard in store.verify():
        LOG.warning("shard %d of %s is damaged: it is made again", shard, folder)
        store.discard(shard)
    missing = store.missing
    if missing:
        _fill(network, source, store, missing, batch, executor, on_error, progress)
    return store


def need(arrays: dict[str, ArraySpec], rows: int) -> str:
    """What a store will take, in words: ``3 layers x 100,000 images = 41 GB float32, 20 GB float16``."""
    values = rows * sum(int(np.prod(spec.shape, dtype=np.int64)) for spec in arrays.values())
    layers = f"{len(arrays)} layer{'s' * (len(arrays) != 1)}"
    return f"{layers} x {rows:,} images = {_bytes(4 * values)} float32, {_bytes(2 * values)} float16"


def batch_by_memory(network: Network, layers: Sequence[str]) -> int:
    """Images at a time, such that the activations up to the last of `layers` fit into memory, at most 64."""
    last = network.layers.last(layers)
    values = 0
    for path, layer in network.layers.items():
        values += int(np.prod(layer.shape, dtype=np.int64))
        if path == last:
            break
    return int(max(1, min(64, MEMORY_BUDGET // max(1, 4 * values))))


def _fill(
    network: Network,
    source: Source,
    store: Store,
    missing: Sequence[int],
    batch: int,
    executor: Executor | None,
    on_error: str,
    progress: Callable[[Progress], bool | None] | bool | None,
) -> None:
    """Make the shards that are missing, in order; runs of neighbours are read in one go."""
    backend, manifest, start_time = network.backend, store.manifest, time.perf_counter()
    reading = Reading(network, store.names)
    total = sum(stop - start for start, stop in map(manifest.span, missing))
    done = skipped = 0
    # One shard's worth of memory for all of them: pieces that are joined would take it twice, at every shard anew.
    whole = {name: np.empty((manifest.shard_rows, *spec.shape), spec.dtype) for name, spec in manifest.arrays.items()}
    with network.scope(), reporter(progress, "activations", total) as tell:
        weights = network.weights()
        pieces = None
        expected = -1
        for shard in missing:
            first, last = manifest.span(shard)
            if shard != expected or pieces is None:
                pieces = stream(
                    source,
                    network.input.size,
                    network.input.channels,
                    batch,
                    start=first,
                    executor=executor,
                    on_error=on_error,
                )
            expected = shard + 1
            kept: list[int] = []
            row = first
            while row < last:
                try:
                    images, good = next(pieces)
                except StopIteration:
                    raise InvalidParameter(
                        "count", allowed=f"at most {row}, as many images as there are", received=manifest.rows, fix=""
                    ) from None
                read = backend.run(reading, weights, native(network, filled(images, batch)))
                for name in store.names:
                    values = backend.to_numpy(read[name])[: len(images)]
                    whole[name][row - first : row - first + len(images)] = values
                kept += [row - first + int(place) for place in np.flatnonzero(good)]
                skipped += int((~good).sum())
                row += len(images)
                done += len(images)
                seconds = time.perf_counter() - start_time
                note = f"({skipped} skipped)" if skipped else ""
                if tell(Progress(done, total, "images", seconds, note)) is False:
                    return
            everything = len(kept) == last - first
            values_of = {name: array[: last - first] for name, array in whole.items()}
            store.write(shard, values_of, None if everything else kept)
    if skipped:
        LOG.warning("%d of %d images could not be read and were skipped", skipped, total)


def _check(dtype: str, on_error: str) -> None:
    if dtype not in ("float16", "float32", "float64"):
        raise InvalidParameter(
            "dtype", allowed="'float16', 'float32' or 'float64'", received=dtype, fix="float16 halves the disk."
        )
    check_on_error(on_error)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
