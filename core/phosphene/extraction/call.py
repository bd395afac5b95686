"""`activations`: read the activations of layers, in memory or into a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.arrays import filled
from phosphene.backend import Network, native
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streams import loaded
from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.kit.checks import integer
from phosphene.kit.finite import NotFinite
from phosphene.kit.images import check_images
from phosphene.kit.progress import Progress
from phosphene.types import Array, Tree

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["activations", "read_layers"]

LOG = logging.getLogger("phosphene")

BATCH = 16
"""Default batch size: larger batches were slower on a CPU, whose caches they exceed."""

ImagesLike: TypeAlias = ArrayLike | Path | Source | Iterable[Any]


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
    images : array-like (N, H, W, C) or (H, W, C), path, sequence or iterable
        Floats in [0, 1], or bytes. A path is a folder of images, an image file, or a text file of paths. Files are cropped to
        the aspect ratio of the network's input about their centre, and resized to it; arrays must have one size.
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
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    if not paths:
        raise InvalidParameter(
            "layers", allowed="at least one layer", received=layers, fix="net.layers lists the paths of all layers."
        )
    for path in paths:
        network.layers[path]
    batch = None if batch is None else integer("batch", batch, minimum=1)
    spec = network.input
    if out is not None:
        from phosphene.extraction.collection import collect

        source = source_of(images, spec.size, spec.channels, count=count)
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
    if count is not None or not isinstance(images, (np.ndarray, list, tuple)) or _names_files(images):
        source = source_of(images, spec.size, spec.channels, count=count)
        array = loaded(source, spec.size, spec.channels, executor=executor, on_error=on_error)
        if len(array) < len(source):
            LOG.warning("%d of %d images could not be read and were skipped", len(source) - len(array), len(source))
        if not len(array):
            raise CorruptFile(source.name(0), f"cannot be read, and neither can any other of the {len(source)} images")
    else:
        array = check_images(images, spec)
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


def _names_files(images: Any) -> bool:
    return len(images) > 0 and isinstance(images, (list, tuple)) and isinstance(images[0], (str, Path))
