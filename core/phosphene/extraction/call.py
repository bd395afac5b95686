"""`activations`: read the activations of layers, in memory or into a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.data.sources import source_of
from phosphene.data.streams import check_on_error
from phosphene.kit.arguments import an_executor, layer_paths, optional_integer
from phosphene.kit.checks import a_network, choice
from phosphene.kit.finite import NotFinite
from phosphene.kit.places import given_path
from phosphene.kit.progress import Progress, check_progress
from phosphene.types import Array, Tree

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["activations", "read_layers"]

LOG = logging.getLogger("phosphene")

DTYPES = ("float32", "float16", "float64")

BATCH = 16
"""Default batch size: larger batches were slower on a CPU, whose caches they exceed."""


@dataclass(frozen=True)
class Reading:
    """``(weights, images) -> activations`` for `Backend.run`; equal instances share a compiled program."""

    network: Network
    layers: tuple[str, ...]

    def __call__(self, weights: Tree, images: Array) -> dict[str, Array]:
        xp = self.network.backend.xp
        if self.network.dtype in ("bfloat16", "float16"):
            images = xp.astype(images, getattr(xp, self.network.dtype))
        return self.network.forward(images, self.layers, weights=weights)


@overload
def activations(
    network: Network,
    images: ImagesLike,
    layers: str | Sequence[str],
    *,
    batch: int | None = ...,
    out: None = ...,
    dtype: str | None = ...,
    count: int | None = ...,
    executor: Executor | None = ...,
    on_error: str = ...,
    progress: Callable[[Progress], bool | None] | bool | None = ...,
) -> dict[str, NDArray[np.floating]]: ...
@overload
def activations(
    network: Network,
    images: ImagesLike,
    layers: str | Sequence[str],
    *,
    batch: int | None = ...,
    out: str | Path,
    dtype: str | None = ...,
    count: int | None = ...,
    executor: Executor | None = ...,
    on_error: str = ...,
    progress: Callable[[Progress], bool | None] | bool | None = ...,
) -> Store: ...
def activations(
    network: Network,
    images: ImagesLike,
    layers: str | Sequence[str],
    *,
    batch: int | None = None,
    out: str | Path | None = None,
    dtype: str | None = None,
    count: int | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> dict[str, NDArray[np.floating]] | Store:
    """Compute activations of layers, in memory or streamed into a store on disk.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : images
        Anything that `phosphene.images` takes: floats in [0, 1] or bytes, tensors, pictures of Pillow, files, folders, data sets.
        Pictures and files are fitted to the network's input; arrays are used as they are, and must have one size.
        ``"photos:2000"`` are crops of the photographs.
    layers : str or sequence of str
        Paths of layers; ``net.layers`` lists them.
    batch : int, optional
        Batch size (default: 16 in memory; with `out`, by the size of the activations).
    out : path, optional
        Folder for a `phosphene.store.Store`: memory stays bounded, and calling again resumes an interrupted run.
    dtype : {"float16", "float32", "float64"}, optional
        Dtype of the result (default: float32; float64 for a float64 network in memory).
    count : int, optional
        Number of images to use, from the first on (default: all). Required for an iterable without a length.
    executor : concurrent.futures.Executor, optional
        Reads and decodes images ahead (default: they are read one by one in this thread).
    on_error : {"raise", "skip"}, default "raise"
        Whether a file that cannot be read raises, or is skipped, logged and counted; `Store.rows` lists the images that
        were read.
    progress : callable or bool, optional
        See `phosphene.render`. Stopping leaves a store that can be resumed.

    Returns
    -------
    dict of str to numpy.ndarray, or Store
        Activations by layer path, channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or ``(N, C)``.

    Raises
    ------
    UnknownLayer
        For a path that is not a layer of the network.
    InvalidParameter
        For an argument of another type, or outside what is allowed.
    InvalidImages
        For images of the wrong shape, dtype or range.
    CorruptFile
        For a file that cannot be read as an image.
    OtherStore
        When `out` holds a store of another model, other data or other settings.
    UnwritablePath
        When `out` cannot be written.

    Warns
    -----
    ModelWarning
        For activations that are NaN or infinite, with the first layers and the number of such values.
    """
    paths = layer_paths(a_network(network), layers)
    batch, count = optional_integer("batch", batch, minimum=1), optional_integer("count", count, minimum=1)
    out = None if out is None else given_path(out, "out")
    if dtype is not None:
        choice("dtype", dtype, DTYPES)
    an_executor(executor)
    check_on_error(on_error)
    check_progress(progress)
    spec = network.input
    if out is not None:
        from phosphene.extraction.collection import collect

        source = source_of(images, spec, count=count)
        return collect(
            network,
            source,
            paths,
            out,
            dtype=dtype or "float32",
            batch=batch,
            executor=executor,
            on_error=on_error,
            progress=progress,
        )
    array = read_images(images, spec, count=count, executor=executor, on_error=on_error)
    finite = NotFinite(network.name)
    found = read_layers(network, array, paths, min(batch or BATCH, len(array)), finite)
    finite.warn()
    return found if dtype is None else {path: value.astype(dtype) for path, value in found.items()}


def read_layers(
    network: Network, array: NDArray[np.floating], paths: tuple[str, ...], batch: int, finite: NotFinite | None = None
) -> dict[str, NDArray[np.floating]]:
    """Read layers of images whose range is not checked, ``(N, H, W, C)``; `finite` counts values that are not."""
    backend = network.backend
    found: dict[str, NDArray[np.floating]] = {}
    with network.scope():
        weights = network.weights()
        for start in range(0, len(array), batch):
            rows = array[start : start + batch]
            read = backend.run(Reading(network, paths), weights, native(network, filled(rows, batch)))
            for path, value in read.items():
                part = backend.to_numpy(value, copy=False)
                if path not in found:
                    found[path] = np.empty((len(array), *part.shape[1:]), part.dtype)
                found[path][start : start + len(rows)] = part[: len(rows)]
                if finite is not None:
                    finite.add(path, part[: len(rows)])
    return found
