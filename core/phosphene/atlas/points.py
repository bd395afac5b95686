"""Step 1 of an atlas: collect activations at random positions of many images, with their attribution to each class."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.atlas.point_values import Sampling
from phosphene.atlas.positions import Places, draw_positions, most_positions, places_of
from phosphene.backend import Network, native
from phosphene.data.declaration import ImagesLike
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import check_on_error
from phosphene.errors import CorruptFile, InvalidParameter, ModelWarning, said
from phosphene.extraction.collection import SHARD_BYTES, fill, shards_of
from phosphene.kit.arguments import an_executor, layer_paths, optional_integer
from phosphene.kit.checks import a_network, boolean, integer, seed_of
from phosphene.kit.documents import read_json
from phosphene.kit.memory import batch_by_memory
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.provenance import describe
from phosphene.kit.writing import write_whole
from phosphene.layers import OUTPUT
from phosphene.store import ArraySpec, Manifest, Store

__all__ = ["POINTS", "collect", "left_out"]

LOG = logging.getLogger("phosphene")

POINTS = "points"
"""Folder inside an atlas that holds the store of its points."""

SHARD_IMAGES = 2048
"""Maximum number of images per shard: points are small, and limited by bytes alone, a shard would hold ten times more work."""

FEW_CLASSES = 128
"""Up to this many classes logits and attributions are stored as float32, above it as float16."""


def collect(
    network: Network,
    images: ImagesLike,
    layers: str | Sequence[str],
    out: str | Path,
    *,
    positions: int = 1,
    seed: int = 0,
    attributions: bool = True,
    batch: int | None = None,
    count: int | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Store:
    """Collect activations at random positions of many images into the atlas folder `out` (Carter et al. 2019).

    A point is a position of an image. It never lies on the border of a layer's map, where the activation depends on padding.
    It is the same place of the same image in every layer, so that layers can be compared point by point.

    Parameters
    ----------
    network : Network
    images : images
        Anything that `phosphene.images` takes.
    layers : str or sequence of str
        Layers with rows and columns, with tokens (the patches, if they are known), or without positions.
    out : str or Path
        Folder of the atlas. An interrupted run resumes when it is called again, with the same result.
    positions : int, default 1
        Positions per image, all different in the coarsest layer. Must be 1 if a layer has no positions.
    seed : int, default 0
        Random seed of the positions. They depend only on it and on the number of the image.
    attributions : bool, default True
        Whether to compute the linear attribution of each point to every class: one forward-mode pass per layer and position.
    batch : int, optional
        Images per batch (default: chosen by the size of the activations).
    count, executor, on_error, progress
        See `phosphene.activations`; an executor reads and decodes the images.

    Returns
    -------
    Store
        The store ``out/points`` with one row per point, sorted by image. For each layer ``activation.PATH (C,)`` float32,
        ``position.PATH (2,)`` int32 (row and column in its map) and ``attribution.PATH (classes,)``; for all layers together
        ``image ()`` int64 (its number in the data) and ``logits (classes,)``. Logits and attributions are float16 above 128
        classes, else float32. Complete unless `progress` stopped the run.

    Raises
    ------
    UnknownLayer, InvalidParameter
        For an unknown layer and for invalid parameters.
    InvalidImages, CorruptFile
        For images of the wrong shape, dtype or range, and for files that cannot be read.
    OtherStore
        When `out` holds an atlas of another model, other data or other settings.
    UnwritablePath
        When `out` cannot be written.

    Warns
    -----
    ModelWarning
        When activations were infinite or NaN. Such points are left out of all layers, so that all layers have the same points;
        `left_out` counts them by layer.
    """
    paths = layer_paths(a_network(network), layers)
    positions, seed = integer("positions", positions, minimum=1), seed_of(seed)
    attributions, batch = boolean("attributions", attributions), optional_integer("batch", batch, minimum=1)
    out = given_path(out, "out")
    count = optional_integer("count", count, minimum=1)
    an_executor(executor)
    check_on_error(on_error)
    check_progress(progress)
    spec = network.input
    with network.scope():
        shapes = network.shapes(spec.size)
    places = {path: places_of(network.layers[path], tuple(shapes[path])) for path in paths}
    most = most_positions(list(places.values()))
    if positions > most:
        raise InvalidParameter(
            "positions",
            allowed=f"at most {most}, the number of inner positions of the coarsest layer",
            received=positions,
            fix=f"Set positions={most} or lower, or leave out the coarsest layer.",
        )
    source = source_of(images, spec, count=count)
    batch = batch_by_memory(network, list(network.layers)) if batch is None else batch
    batch = min(batch, len(source))
    channels = {path: (shapes[path] or (1,))[-1] for path in paths}
    arrays = _arrays(channels, (shapes[OUTPUT] or (1,))[-1], attributions)
    row_bytes = sum(spec.row_bytes for spec in arrays.values())
    fitting = min(SHARD_IMAGES, SHARD_BYTES // (row_bytes * positions))
    images_a_shard = min(len(source), max(1, fitting // batch) * batch)
    manifest = Manifest(
        "atlas",
        len(source) * positions,
        images_a_shard * positions,
        arrays,
        identity={
            "model": network.fingerprint(),
            "data": source.identity(),
            "size": list(spec.size),
            "layers": list(paths),
            "positions": positions,
            "seed": seed,
            "attributions": attributions,
            "batch": batch,
        },
        notes={
            **describe(network, seed, spec.size),
            "classes": list(network.classes or ()),
            "grids": {path: [place.rows, place.columns] for path, place in places.items()},
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    store = Store.create(given_path(out, "out") / POINTS, manifest)
    job = _Job(network, source, store, places, positions, seed, attributions, batch, executor, on_error)
    fill(
        store,
        source,
        "collecting points",
        lambda say: job.run(progress, say),
        per_image=positions,
        executor=executor,
        progress=progress,
        damaged=lambda store: (
            {shard for shard in range(manifest.shards) if _miscounted(store, shard)} - set(store.missing)
        ),
    )
    _warn(store)
    return store


def left_out(store: Store) -> dict[str, int]:
    """Number of points left out as infinite or NaN, by layer; "output" stands for logits and attributions."""
    total: dict[str, int] = {}
    for shard in range(store.manifest.shards):
        for layer, number in _counts(store, shard).items():
            total[layer] = total.get(layer, 0) + number
    return total


def _counts(store: Store, shard: int) -> Mapping[str, int]:
    """Number of points of a shard that were left out, by layer."""
    path = _count_file(store, shard)
    fix = f"Delete it, and shards/{shard:06d}.json beside it, and run the call that wrote the atlas again."
    try:
        found = read_json(path, fix=fix)
    except FileNotFoundError:
        return {}
    start, stop = store.manifest.span(shard)
    most = stop - start
    if not isinstance(found, dict) or any(type(each) is not int or not 0 <= each <= most for each in found.values()):
        raise CorruptFile(str(path), f"damaged: it does not count points by layer. {fix}")
    return found


def _miscounted(store: Store, shard: int) -> bool:
    try:
        _counts(store, shard)
    except CorruptFile:
        return True
    return False


@dataclass(frozen=True)
class _Job:
    network: Network
    source: Source
    store: Store
    places: dict[str, Places]
    positions: int
    seed: int
    attributed: bool
    batch: int
    executor: Executor | None
    on_error: str

    def run(
        self,
        progress: Callable[[Progress], bool | None] | bool | None,
        say: Callable[[int], None],
    ) -> None:
        """Compute the missing shards in order; images of consecutive shards are read as one stream."""
        network, manifest, begin = self.network, self.store.manifest, time.perf_counter()
        k = self.positions
        total = sum(stop - start for start, stop in map(manifest.span, self.store.missing)) // k
        program = Sampling(network, tuple(self.places), k, self.attributed)
        done = skipped = 0
        # The buffers of one shard are reused for all.
        whole = {
            name: np.zeros((manifest.shard_rows, *spec.shape), spec.dtype) for name, spec in manifest.arrays.items()
        }
        with network.scope(), reporter(progress, "collect", total) as tell:
            weights = network.weights()
            for shard, batches, digests in shards_of(
                self.store,
                self.source,
                network.input,
                self.batch,
                per_image=k,
                executor=self.executor,
                on_error=self.on_error,
            ):
                first, last = (row // k for row in manifest.span(shard))
                good = np.zeros((last - first) * k, np.bool_)
                counts: dict[str, int] = {}
                image = first
                for pictures, readable in batches:
                    rows = slice((image - first) * k, (image - first + len(pictures)) * k)
                    values = self._values(program, weights, pictures, image)
                    bad = self._bad(values)
                    good[rows] = np.repeat(readable, k) & ~np.any(list(bad.values()), axis=0)
                    for layer, wrong in bad.items():
                        counts[layer] = counts.get(layer, 0) + int((wrong & np.repeat(readable, k)).sum())
                    for name, value in values.items():
                        # Rows that are left out are zeros, so that a shard has the same bytes in every run.
                        whole[name][rows] = np.where(good[rows].reshape(-1, *(1,) * (value.ndim - 1)), value, 0)
                    skipped += int((~readable).sum())
                    image += len(pictures)
                    done += len(pictures)
                    note = f"({skipped} skipped)" if skipped else ""
                    if tell(Progress(done, total, "images", time.perf_counter() - begin, note)) is False:
                        return
                self._count(shard, counts)
                kept = None if good.all() else [int(row) for row in np.flatnonzero(good)]
                values = {name: array[: len(good)] for name, array in whole.items()}
                self.store.write(shard, values, kept, pixels=digests.taken())
                say(shard + 1)
        if skipped:
            LOG.warning("%d of %d images could not be read and were skipped", skipped, total)

    def _values(
        self, program: Sampling, weights: Any, pictures: NDArray[np.float32], first: int
    ) -> dict[str, NDArray[Any]]:
        """All arrays of a batch, one row per point."""
        network, backend, many = self.network, self.network.backend, len(pictures)
        numbers = np.arange(first, first + many)
        relative = draw_positions(list(self.places.values()), self.positions, self.seed, numbers.tolist())
        values: dict[str, NDArray[Any]] = {"image": np.repeat(numbers, self.positions)}
        masks = {}
        for path, places in self.places.items():
            found = places.at(relative)
            values[f"position.{path}"] = found.reshape(-1, 2)
            padded = filled(found, self.batch)
            masks[path] = [
                backend.from_numpy(places.mask(padded[:, each]), device=network.device, dtype=network.dtype)
                for each in range(self.positions)
            ]
        read = backend.run(program, weights, native(network, filled(pictures, self.batch)), masks)

        def rows(parts: list[Any]) -> NDArray[Any]:
            stacked = np.stack([backend.to_numpy(part)[:many] for part in parts], axis=1)
            return stacked.reshape(many * self.positions, stacked.shape[-1])

        values["logits"] = _narrow(rows([read["logits"]] * self.positions), self.store, "logits")
        for path in self.places:
            values[f"activation.{path}"] = rows(read["activations"][path])
            if self.attributed:
                name = f"attribution.{path}"
                values[name] = _narrow(rows(read["attributions"][path]), self.store, name)
        return values

    def _bad(self, values: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.bool_]]:
        """Which points are infinite or NaN, by layer; attributions are derivatives of the output and count towards it."""
        found = {path: ~np.isfinite(values[f"activation.{path}"]).all(axis=1) for path in self.places}
        ends = [name for name in values if name == "logits" or name.startswith("attribution.")]
        wrong = np.any([~np.isfinite(values[name]).all(axis=1) for name in ends], axis=0)
        found[OUTPUT] = found[OUTPUT] | wrong if OUTPUT in found else wrong
        return found

    def _count(self, shard: int, counts: dict[str, int]) -> None:
        """Write the counts of a shard, before the shard itself: if the shard exists, so do its counts."""
        path = _count_file(self.store, shard)
        found = {layer: number for layer, number in counts.items() if number}
        if found:
            write_whole(path, json.dumps(found).encode())
        else:
            path.unlink(missing_ok=True)


def _arrays(channels: dict[str, int], classes: int, attributions: bool) -> dict[str, ArraySpec]:
    dtype = "float32" if classes <= FEW_CLASSES else "float16"
    arrays = {"image": ArraySpec((), "int64"), "logits": ArraySpec((classes,), dtype)}
    for path, width in channels.items():
        arrays[f"activation.{path}"] = ArraySpec((width,), "float32")
        arrays[f"position.{path}"] = ArraySpec((2,), "int32")
        if attributions:
            arrays[f"attribution.{path}"] = ArraySpec((classes,), dtype)
    return arrays


def _narrow(values: NDArray[Any], store: Store, name: str) -> NDArray[Any]:
    """Values in the dtype of the store; finite values beyond the range of float16 are clipped, NaN and infinity stay."""
    dtype = np.dtype(store.manifest.arrays[name].dtype)
    limit = float(np.finfo(dtype).max)
    return np.where(np.isfinite(values), np.clip(values, -limit, limit), values).astype(dtype)


def _count_file(store: Store, shard: int) -> Path:
    return store.folder / "left_out" / f"{shard:06d}.json"


def _warn(store: Store) -> None:
    found = left_out(store)
    if found:
        parts = ", ".join(f"{number:,} of {layer}" for layer, number in found.items())
        warnings.warn(
            f"activations were infinite or NaN: {parts} (of {store.manifest.rows:,} points). These points are left out of all "
            "layers of the atlas.",
            ModelWarning,
            stacklevel=3,
        )
    if store.complete and not len(store.rows()):
        raise InvalidParameter(
            "images",
            allowed="at least one image whose activations are finite",
            received=said("none"),
            fix="Find the layer where the network breaks with ph.diagnose.",
        )
