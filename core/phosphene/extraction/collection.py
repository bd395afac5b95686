"""Streaming of activations into a store: in bounded memory, resuming where a run was interrupted."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.backend import InputSpec, Network, native
from phosphene.data.digests import WIDTH, Digests, check_pixels, other_images
from phosphene.data.source import Source
from phosphene.data.streams import check_on_error, stream
from phosphene.errors import InvalidParameter
from phosphene.extraction.call import Reading
from phosphene.kit.checks import choice
from phosphene.kit.finite import NotFinite
from phosphene.kit.locks import Stopped, alone
from phosphene.kit.memory import batch_by_memory
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, reporter
from phosphene.kit.provenance import describe
from phosphene.store import ArraySpec, Manifest, Store
from phosphene.words import plain_name

__all__ = ["collect", "disk_space", "fill", "pixels_of", "same_images", "shards_of"]

SHARD_BYTES = 16 << 20
"""Approximate size of a shard over all arrays in bytes: what is held in memory, and lost when a run is interrupted."""

LOG = logging.getLogger("phosphene")

Batch: TypeAlias = tuple[NDArray[np.float32], NDArray[np.bool_]]


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
        Complete, unless `progress` stopped the run; calling again resumes it. If another process is writing it, this one
        waits and finds it complete, or goes on with it if the other was stopped.
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
    store = Store.create(given_path(out, "out"), manifest)
    free = _bytes(shutil.disk_usage(store.folder).free)
    LOG.info("%s; %s free at %s", disk_space(arrays, len(source)), free, plain_name(store.folder))
    fill(
        store,
        source,
        "activations",
        lambda say: _fill(network, source, store, batch, executor, on_error, progress, say),
        executor=executor,
        progress=progress,
    )
    return store


def fill(
    store: Store,
    source: Source | None,
    work: str,
    compute: Callable[[Callable[[int], None]], None],
    *,
    per_image: int = 1,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
    damaged: Callable[[Store], set[int]] = lambda store: set(),
) -> None:
    """Compute what a store lacks, as the only process that writes it, and only if it was made from the images of `source`.

    A store that is complete and undamaged is only read, so it needs no lock, nor a disk that can be written. Another process that
    wants to write waits; when this one is done it finds the shards, and if this one was killed it computes the rest.

    Parameters
    ----------
    store : Store
    source : Source, optional
        None for a store that was not made from images.
    work : str
        What is done, for those who wait.
    compute : callable
        Computes the missing shards. It is given a function to call with the number of shards that are done.
    per_image : int, default 1
        Rows of the store per image.
    executor, progress
        See `phosphene.activations`.
    damaged : callable, optional
        Further damaged shards, which `Store.verify` does not see.

    Raises
    ------
    OtherStore
        For other images than those that the store was computed from.
    """

    def same() -> bool:
        return source is None or same_images(store, source, per_image=per_image, executor=executor, progress=progress)

    once = source is not None and source.once
    if _finished(store, damaged):
        if same() and once:
            compute(lambda shards: None)  # goes through the images, and compares them
        return
    lock = store.folder / ".manifest.json.lock"
    with suppress(Stopped), alone(lock, work, progress, total=store.manifest.shards, unit="shards") as say:
        for shard in sorted(damaged(store).union(store.verify())):
            LOG.warning("shard %d of %s is damaged and will be computed again", shard, plain_name(store.folder))
            store.discard(shard)
        if same() and (store.missing or once):
            compute(say)


def _finished(store: Store, damaged: Callable[[Store], set[int]]) -> bool:
    try:
        return store.complete and not store.verify() and not damaged(store)
    except InvalidParameter:
        return False  # another process has just discarded a damaged shard


def pixels_of(store: Store, *, per_image: int = 1) -> dict[int, str]:
    """Digests of the images that the written shards of a store were computed from, by index; `per_image` rows each."""
    found: dict[int, str] = {}
    for shard in sorted(set(range(store.manifest.shards)) - set(store.missing)):
        text, first = store.receipt(shard).pixels or "", store.manifest.span(shard)[0] // per_image
        found.update((first + at // WIDTH, text[at : at + WIDTH]) for at in range(0, len(text), WIDTH))
    return found


def same_images(
    store: Store,
    source: Source,
    *,
    per_image: int = 1,
    executor: Executor | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> bool:
    """Compare the images of a source with those that a store was computed from, as far as it is written.

    An iterator allows one pass only: `shards_of` compares its images as they stream.

    Returns
    -------
    bool
        Whether all were compared; False if `progress` stopped it.

    Raises
    ------
    OtherStore
        For other images.
    """
    known = {} if source.once else pixels_of(store, per_image=per_image)
    if not known:
        return True
    start, stopped = time.perf_counter(), False

    def stop(done: int) -> bool:
        nonlocal stopped
        stopped = tell(Progress(done, len(known), "images", time.perf_counter() - start)) is False
        return stopped

    with reporter(progress, "compare images", len(known)) as tell:
        check_pixels(source, known, store.folder, executor=executor, stop=stop)
    return not stopped


def shards_of(
    store: Store,
    source: Source,
    spec: InputSpec,
    batch: int,
    *,
    per_image: int = 1,
    executor: Executor | None = None,
    on_error: str = "raise",
) -> Iterator[tuple[int, Iterator[Batch], Digests]]:
    """Yield each missing shard of a store with the batches of its images; consecutive shards share one stream.

    Parameters
    ----------
    store : Store
    source : Source
    spec : InputSpec
        Input of the network.
    batch : int
        Images per batch.
    per_image : int, default 1
        Rows of the store per image.
    executor, on_error
        See `phosphene.activations`.

    Yields
    ------
    shard : int
    batches : iterator of (images, readable)
        To be gone through before the next shard; see `phosphene.data.streams.stream`.
    digests : Digests
        Of the images of the shard, once its batches were gone through.

    Raises
    ------
    InvalidParameter
        When the source ends early.
    OtherStore
        When an iterator yields other images than those that a shard was computed from.
    """
    missing, digests = set(store.missing), Digests()
    stream_now: Iterator[Batch] | None = None
    expected = -1
    for shard in range(store.manifest.shards) if source.once else sorted(missing):
        first, last = (row // per_image for row in store.manifest.span(shard))
        if stream_now is None or shard != expected:
            stream_now = stream(
                source,
                spec.size,
                spec.channels,
                batch,
                start=first,
                executor=executor,
                on_error=on_error,
                seen=digests,
            )
        expected = shard + 1
        batches = _until(stream_now, first, last, store.manifest.rows // per_image)
        if shard in missing:
            yield shard, batches, digests
            continue
        for _ in batches:  # an iterator has to go through them anyway
            pass
        known = store.receipt(shard).pixels
        if digests.taken() != known and known is not None and not source.stated:
            raise other_images(store.folder)


def _until(batches: Iterator[Batch], first: int, last: int, count: int) -> Iterator[Batch]:
    while first < last:
        found = next(batches, None)
        if found is None:
            raise InvalidParameter(
                "count",
                allowed=f"at most {first}, the number of images",
                received=count,
                fix="The images end early: give a smaller count, or more images.",
            )
        first += len(found[0])
        yield found


def disk_space(arrays: dict[str, ArraySpec], rows: int) -> str:
    """Disk space of a store as text: ``3 layers x 100,000 images = 41 GB float32, 20 GB float16``."""
    values = rows * sum(int(np.prod(spec.shape, dtype=np.int64)) for spec in arrays.values())
    layers = f"{len(arrays)} layer{'s' * (len(arrays) != 1)}"
    return f"{layers} x {rows:,} images = {_bytes(4 * values)} float32, {_bytes(2 * values)} float16"


def _fill(
    network: Network,
    source: Source,
    store: Store,
    batch: int,
    executor: Executor | None,
    on_error: str,
    progress: Callable[[Progress], bool | None] | bool | None,
    say: Callable[[int], None],
) -> None:
    """Compute the missing shards in order."""
    backend, manifest, start_time = network.backend, store.manifest, time.perf_counter()
    reading, finite = Reading(network, store.names), NotFinite(network.name)
    total = sum(stop - start for start, stop in map(manifest.span, store.missing))
    done = skipped = 0
    # One buffer for all shards: concatenating batches would need twice the memory.
    whole = {name: np.empty((manifest.shard_rows, *spec.shape), spec.dtype) for name, spec in manifest.arrays.items()}
    with network.scope(), reporter(progress, "activations", total) as tell:
        weights = network.weights()
        for shard, batches, digests in shards_of(
            store, source, network.input, batch, executor=executor, on_error=on_error
        ):
            kept: list[int] = []
            row = 0
            for images, good in batches:
                read = backend.run(reading, weights, native(network, filled(images, batch)))
                for name in store.names:
                    values = backend.to_numpy(read[name])[: len(images)]
                    whole[name][row : row + len(images)] = values
                    finite.add(name, values[good])
                kept += [row + int(place) for place in np.flatnonzero(good)]
                skipped += int((~good).sum())
                row += len(images)
                done += len(images)
                seconds = time.perf_counter() - start_time
                note = f"({skipped} skipped)" if skipped else ""
                if tell(Progress(done, total, "images", seconds, note)) is False:
                    return
            values_of = {name: array[:row] for name, array in whole.items()}
            store.write(shard, values_of, None if len(kept) == row else kept, pixels=digests.taken())
            say(shard + 1)
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
