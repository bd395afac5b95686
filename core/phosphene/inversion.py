"""`invert`: from an activation back to an image (Mahendran and Vedaldi 2015; Olah et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.activations import activations
from phosphene.ascent import Progress
from phosphene.backend import Network
from phosphene.errors import InvalidParameter, said
from phosphene.images import check_images
from phosphene.objectives import match
from phosphene.optimizers import adam
from phosphene.parameterizations import Parameterization, fourier
from phosphene.penalties import Penalty, total_variation
from phosphene.projections import Projection
from phosphene.rendering import canvas_size, render
from phosphene.results import Renders
from phosphene.transforms import Transform, jitter
from phosphene.types import Floats, Size

__all__ = ["invert"]


def invert(
    network: Network,
    source: ArrayLike,
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
    """Images whose activation at a layer matches a wanted one.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    source : array-like
        Images ``(N, H, W, C)`` or ``(H, W, C)`` in [0, 1], whose activations are wanted; or the activations themselves, in the
        layer's own shape ``(h, w, channels)``, with or without a leading N.
    layer : str
        Path of the layer.
    size : int or (int, int), optional
        Height and width of the pictures; the images' own, or the network's for activations.
    steps, seed, parameterization, transforms, regularizers, optimizer, slots, progress
        As in `phosphene.render`. By default Fourier parameters, total variation and a jitter of one pixel.
    measure : "squared" or "cosine", default "squared"
        What is maximised: minus the normalised squared error, or normalised dot product times a power of the cosine.
    cosine_power : float, default 1
        The power, for "cosine".

    Returns
    -------
    Renders
        ``.scores["cosine"]`` is the cosine between the wanted activation and the one read again from each clean picture.

    Raises
    ------
    InvalidParameter
        For a source that is neither, and for whatever `phosphene.render` refuses.
    """
    network.layers[layer]
    wanted, canvas, sources = _wanted(network, np.asarray(source), layer, size)
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
        parameterization=parameterization or fourier(decay=1.0),
        transforms=[jitter(1)] if transforms is None else transforms,
        regularizers=[total_variation(0.05)] if regularizers is None else regularizers,
        optimizer=optimizer or adam(0.05),
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
    """Cosine between flattened rows, ``(N,)``; 0 where a row is zero."""
    a, b = left.reshape(len(left), -1).astype(np.float64), right.reshape(len(right), -1).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: Floats = np.where(norms > 0, np.sum(a * b, axis=1) / np.where(norms > 0, norms, 1), 0.0)
    return result


def _wanted(network: Network, source: NDArray[Any], layer: str, size: int | Size | None) -> tuple[Floats, Size, Floats]:
    """Wanted activations with a leading N, the canvas on which they are matched, and what was given for each."""
    spec = network.input
    canvas = canvas_size(network, size)
    shape = network.layers[layer].shape if size is None else tuple(network.shapes(canvas)[layer])
    if source.shape == shape or source.shape[1:] == shape:
        wanted = source if source.shape[1:] == shape else source[None]
        if not np.issubdtype(wanted.dtype, np.floating) or not np.all(np.isfinite(wanted)):
            raise InvalidParameter("source", allowed="finite floats", received=said(f"dtype {wanted.dtype}"), fix="")
        return wanted, canvas, wanted
    if source.ndim not in (3, 4) or source.shape[-1] != spec.channels:
        raise InvalidParameter(
            "source",
            allowed=f"images (N, H, W, {spec.channels}) or activations of {layer!r} of shape {shape}",
            received=said(f"shape {source.shape}"),
            fix="For another size than the network's own give size=(height, width).",
        )
    images = check_images(source, spec, parameter="source", size=None if size is None else canvas)
    return activations(network, images, layer)[layer], (images.shape[1], images.shape[2]), images
