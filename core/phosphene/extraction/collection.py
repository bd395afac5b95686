"""Streaming of activations into a store: in bounded memory, resuming where a run was interrupted."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.data.source import Source
from phosphene.data.streams import check_on_error, stream
from phosphene.errors import InvalidParameter
from phosphene.extraction.call import Reading
from phosphene.kit.checks import choice
from phosphene.kit.finite import NotFinite
from phosphene.kit.memory import batch_by_memory
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.provenance import describe
from phosphene.kit.writing import check_writable
from phosphene.store import ArraySpec, Manifest, Store

__all__ = ["collect", "disk_space"]

SHARD_BYTES = 16 << 20
"""Approximate size of a shard over all arrays in bytes: what is held in memory, and lost when a run is interrupted."""

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
    """Stream the activations of layers into a store; see `phosphene.activations`.

    Returns
    -------
    Store
        Complete, unless `progress` stopped the run; calling again resumes it.
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
        # Rounding depends on the batch size: a resumed run must use the same one to give the same values.
        identity={"model": network.fingerprint(), "data": source.identity(), "size": list(size), "batch": batch},
        notes={**describe(network, 0, size), "date": datetime.now(UTC).isoformat(timespec="seconds")},
    )
    folder = check_writable(Path(out) / "manifest.json").parent
    LOG.info("%s; %s free at %s", disk_space(arrays, len(source)), _bytes(shutil.disk_usage(folder).free), folder)
    store = Store.create(folder, manifest)
    for shard in store.verify():
        LOG.warning("shard %d of %s is damaged and will be computed again", shard, folder)
        store.discard(shard)
    missing = store.missing
    if missing:
        _fill(network, source, store, missing, batch, executor, on_error, progress)
    return store


def disk_space(arrays: dict[str, ArraySpec], rows: int) -> str:
    """Disk space of a store as text: ``3 layers x 100,000 images = 41 GB float32, 20 GB float16``."""
    values = rows * sum(int(np.prod(spec.shape, dtype=np.int64)) for spec in arrays.values())
    layers = f"{len(arrays)} layer{'s' * (len(arrays) != 1)}"
    return f"{layers} x {rows:,} images = {_bytes(4 * values)} float32, {_bytes(2 * values)} float16"


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
    """Compute the missing shards in order; consecutive shards share one stream of images."""
    backend, manifest, start_time = network.backend, store.manifest, time.perf_counter()
    reading, finite = Reading(network, store.names), NotFinite(network.name)
    total = sum(stop - start for start, stop in map(manifest.span, missing))
    done = skipped = 0
    # One buffer for all shards: concatenating batches would need twice the memory.
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
                        "count",
                        allowed=f"at most {row}, the number of images",
                        received=manifest.rows,
                        fix="The iterable ended early: give a smaller count, or more images.",
                    ) from None
                read = backend.run(reading, weights, native(network, filled(images, batch)))
                for name in store.names:
                    values = backend.to_numpy(read[name])[: len(images)]
                    whole[name][row - first : row - first + len(images)] = values
                    finite.add(name, values[good])
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
    finite.warn(stacklevel=5)
    if skipped:
        LOG.warning("%d of %d images could not be read and were skipped", skipped, total)


def _check(dtype: str, on_error: str) -> None:
    choice(
        "dtype",
        dtype,
        ("float16", "float32", "float64"),
        fix="The default is 'float32'; 'float16' takes half the space.",
    )
    check_on_error(on_error)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
