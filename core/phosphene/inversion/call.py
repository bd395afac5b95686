"""`invert`: reconstruct images from activations (Mahendran and Vedaldi 2015; Olah et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.data.items import as_array, is_array, is_nested_list
from phosphene.errors import InvalidParameter, said
from phosphene.extraction.call import activations
from phosphene.kit.checks import a_network, canvas_size, floats
from phosphene.kit.progress import Progress
from phosphene.objectives import match
from phosphene.objectives.location import ShapesAt
from phosphene.optimizers import adam
from phosphene.parameterizations import Parameterization, fourier
from phosphene.regularizers.penalties import Penalty, total_variation
from phosphene.regularizers.projections import Projection
from phosphene.rendering.call import render
from phosphene.rendering.result import Renders
from phosphene.transforms import Transform, jitter
from phosphene.types import Floats, Size

__all__ = ["invert"]


def invert(
    network: Network,
    source: ImagesLike,
    layer: str,
    *,
    size: int | Size | None = None,
    steps: int = 256,
    seed: int = 0,
    measure: str = "squared",
    cosine_power: float = 1.0,
    parameterization: Parameterization | None = None,
    transforms: Sequence[Transform] | None = None,
    regularizers: Sequence[Penalty | Projection] | None = None,
    optimizer: Any = None,
    slots: int | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Renders:
    """Optimise images to match given activations at a layer.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    source : images or activations
        Images whose activations are matched: anything that `phosphene.images` takes. Or the activations themselves, as an array or
        a tensor in the shape of the layer ``(h, w, channels)`` with or without a leading N, or a list of such; what has that
        shape is taken for activations.
    layer : str
        Path of the layer.
    size : int or (int, int), optional
        Height and width of the pictures in pixels (default: those of the images; for activations, the network's own).
    steps, seed, parameterization, transforms, regularizers, optimizer, slots, progress
        As in `phosphene.render` (defaults: Fourier parameters, total variation and a jitter of one pixel).
    measure : {"squared", "cosine"}, default "squared"
        What is maximised: the negative normalised squared error, or the normalised dot product times a power of the cosine.
    cosine_power : float, default 1
        Exponent of the cosine, for "cosine".

    Returns
    -------
    Renders
        ``.scores["cosine"]`` is the cosine similarity of the target activation and that of each finished picture.

    Raises
    ------
    InvalidParameter
        For a source that is neither images nor activations of the layer, and for the same reasons as in `phosphene.render`.
    """
    a_network(network)
    network.layers[layer]
    wanted, canvas, sources = _wanted(network, source, layer, size)
    objectives = [
        replace(match(layer, item, measure=measure, cosine_power=cosine_power), identity=(origin,))
        for item, origin in zip(wanted, sources, strict=True)
    ]
    renders = render(
        network,
        objectives,
        size=canvas,
        steps=steps,
        seed=seed,
        parameterization=fourier(decay=1.0) if parameterization is None else parameterization,
        transforms=[jitter(1)] if transforms is None else transforms,
        regularizers=[total_variation(0.05)] if regularizers is None else regularizers,
        optimizer=adam(0.05) if optimizer is None else optimizer,
        slots=slots,
        progress=progress,
    )
    again = activations(network, renders.images, layer)[layer]
    labels = tuple(
        f"{layer} inverted" if len(wanted) == 1 else f"{layer} inverted, {index}" for index in range(len(wanted))
    )
    settings = {**renders.settings, "inversion": {"layer": layer, "measure": measure, "cosine_power": cosine_power}}
    return replace(renders, labels=labels, scores={"cosine": cosine(wanted, again)}, settings=settings)


def cosine(left: Floats, right: Floats) -> Floats:
    """Cosine similarity of flattened rows, ``(N,)``; 0 for a row of zeros."""
    a, b = left.reshape(len(left), -1).astype(np.float64), right.reshape(len(right), -1).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: Floats = np.where(norms > 0, np.sum(a * b, axis=1) / np.where(norms > 0, norms, 1), 0.0)
    return result


def _array(source: Any) -> NDArray[Any] | None:
    """The source as an array of numbers, which may be activations; None for anything else that holds images."""
    if isinstance(source, (list, tuple)):
        if is_nested_list(source):
            floats("source", source)
            return np.asarray(source)
        shapes = {tuple(item.shape) if is_array(item) else () for item in source}
        if len(shapes) != 1 or () in shapes:
            return None
        array = np.stack([as_array(item, "source") for item in source])
        return array if array.dtype.kind in "fiu" else None
    if not is_array(source):
        return None
    array = as_array(source, "source")
    if array.dtype.kind in "OUSV":  # of paths, pictures or records
        return None
    floats("source", array)
    return array


def _wanted(network: Network, given: Any, layer: str, size: int | Size | None) -> tuple[Floats, Size, Floats]:
    """Activations to match with a leading N, the size of the pictures, and the source of each."""
    spec = network.input
    canvas = canvas_size(network, size)
    shape = network.layers[layer].shape if size is None else ShapesAt(network, canvas)[layer]
    source = _array(given)
    if source is not None and (source.shape == shape or source.shape[1:] == shape):
        wanted = source if source.shape[1:] == shape else source[None]
        if not np.issubdtype(wanted.dtype, np.floating) or not np.all(np.isfinite(wanted)):
            floats = np.issubdtype(wanted.dtype, np.floating)
            raise InvalidParameter(
                "source",
                allowed="activations that are finite floats",
                received=said("NaN or infinite values" if floats else f"dtype {wanted.dtype}"),
                fix="Give what ph.activations returns.",
            )
        return wanted, canvas, wanted
    if source is not None and (source.ndim not in (3, 4) or spec.channels not in source.shape):
        raise InvalidParameter(
            "source",
            allowed=f"images (N, H, W, {spec.channels}) or activations of {layer!r} of shape {shape}",
            received=said(f"shape {source.shape}"),
            fix="For activations at another size than the network's own, give size=(height, width).",
        )
    images = read_images(given, spec, parameter="source", size=None if size is None else canvas)
    return activations(network, images, layer)[layer], (images.shape[1], images.shape[2]), images
