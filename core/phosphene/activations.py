"""`activations`: read layers, in memory or into a store."""

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
from phosphene.ascent import Progress
from phosphene.ascent.program import native
from phosphene.backend import Network
from phosphene.data.source import Source
from phosphene.data.sources import source_of
from phosphene.data.streaming import loaded
from phosphene.draws import integer
from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.images import check_images
from phosphene.types import Array, Tree

if TYPE_CHECKING:
    from phosphene.store import Store

__all__ = ["activations", "read_layers"]

LOG = logging.getLogger("phosphene")

BATCH = 16
"""Images at a time, where nothing else is said: twice as many were slower on a CPU, whose caches they leave."""

ImagesLike: TypeAlias = ArrayLike | Path | Source | Iterable[Any]


@dataclass(frozen=True)
class Reading:
    """``(weights, images) -> activations`` for `Backend.run`; equal readings share a compiled program."""

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
    """Activations of layers, in memory or streamed into a store on disk.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    images : array-like (N, H, W, C) or (H, W, C), path, sequence or iterable
        Floats in [0, 1], or bytes. A path is a folder of pictures, a text file of paths, or a picture; files of whatever sizes
        are brought to the network's (the largest central part of its proportions, resized), arrays must all have one size.
        ``"photos:2000"`` are crops of the photographs.
    layers : str or sequence of str
        Paths; ``net.layers`` lists them.
    batch : int, optional
        Images at a time. When absent, 16 in memory, and by the size of the activations with `out`.
    out : path, optional
        A folder for a `phosphene.store.Store`: memory stays bounded, and a run that was killed goes on when it is called again.
    dtype : "float16", "float32" or "float64", optional
        Of what is returned or stored; float32 when absent (float64 for a float64 network in memory).
    count : int, optional
        How many: the first so many, where there are more. An iterable without a length needs it.
    executor : concurrent.futures.Executor, optional
        Who reads and decodes images; here, one by one, when absent.
    on_error : "raise" or "skip", default "raise"
        What happens with a file that cannot be read. With "skip" it is left out, named in the log, and counted; `Store.rows`
        says which are there.
    progress : callable or bool, optional
        See `phosphene.render`. One that stops leaves a store that can be gone on with.

    Returns
    -------
    dict of str to numpy.ndarray, or Store
        By path, channel-last: ``(N, H, W, C)``, ``(N, T, C)`` or ``(N, C)``.

    Raises
    ------
    UnknownLayer
        For a path the network does not have.
    InvalidImages
        For images of the wrong shape, dtype or range.
    CorruptFile
        For a file that is no picture.
    OtherStore
        When `out` holds a store of another model, other data or other settings.
    UnwritablePath
        When `out` cannot be written.
    """
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    if not paths:
        raise InvalidParameter("layers", allowed="at least one layer", received=layers, fix="net.layers lists them.")
    for path in paths:
        network.layers[path]
    batch = None if batch is None else integer("batch", batch, minimum=1)
    spec = network.input
    if out is not None:
        from phosphene.collecting import collect

        source = source_of(images, spec.size, spec.channels, count=count)
        return collect(
            network, source, paths, out, dtype=dtype or "float32", batch=batch, executor=executor, on_error=on_error,
            progress=progress,
        )  # fmt: skip
    if count is not None or not isinstance(images, (np.ndarray, list, tuple)) or _names_files(images):
        source = source_of(images, spec.size, spec.channels, count=count)
        array = loaded(source, spec.size, spec.channels, executor=executor, on_error=on_error)
        if len(array) < len(source):
            LOG.warning("%d of %d images could not be read and were skipped", len(source) - len(array), len(source))
        if not len(array):
            raise CorruptFile(source.name(0), f"nor any other of {len(source)} images can be read")
    else:
        array = check_images(images, spec)
    found = read_layers(network, array, paths, min(batch or BATCH, len(array)))
    return found if dtype is None else {path: value.astype(dtype) for path, value in found.items()}


def read_layers(
    network: Network, array: NDArray[np.floating], paths: tuple[str, ...], batch: int
) -> dict[str, NDArray[np.floating]]:
    """Layers of images that are not looked at any more: of the right shape, and of whatever range."""
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
    return found


def _names_files(images: Any) -> bool:
    return len(images) > 0 and isinstance(images, (list, tuple)) and isinstance(images[0], (str, Path))
