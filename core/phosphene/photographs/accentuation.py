"""`accentuate`: feature accentuation, the small change of a photograph that raises an objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import run_program
from phosphene.attribution.programs import Value
from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.errors import InvalidParameter
from phosphene.extraction.call import activations
from phosphene.kit.checks import a_network, number, numbers
from phosphene.kit.progress import Progress
from phosphene.objectives import Objective, match
from phosphene.objectives.declarations import Sum
from phosphene.objectives.location import ShapesAt
from phosphene.objectives.targets import MOST, as_objective
from phosphene.optimizers import adam
from phosphene.parameterizations import Parameterization, fourier
from phosphene.photographs.deepdream import photograph_for
from phosphene.photographs.result import Accentuation
from phosphene.rendering.call import render
from phosphene.transforms import Transform, jitter
from phosphene.types import Floats, Size, UserObjective

__all__ = ["accentuate"]

WEIGHTS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
ALONG = 65
"""Points on the line from the photograph to a picture at which the objective is evaluated to find the crossing."""


def accentuate(
    network: Network,
    image: ImagesLike,
    objective: str | Objective | UserObjective,
    *,
    layer: str,
    size: int | Size | None = None,
    threshold: float | None = None,
    weights: Sequence[float] = WEIGHTS,
    steps: int = 64,
    seed: int = 0,
    parameterization: Parameterization | None = None,
    transforms: Sequence[Transform] | None = None,
    optimizer: Any = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Accentuation:
    """Raise an objective from a photograph while staying close to it in a layer (feature accentuation, Hamblin et al. 2024).

    One picture is made per weight of the distance; the difference to the photograph shows what the unit responds to *there*.
    With a threshold, the smallest change that crosses it is found as well.

    Parameters
    ----------
    network : Network
    image : image
        Photograph: anything that `phosphene.images` takes, if it is one image.
    objective : Objective, str or function
        What is raised.
    layer : str
        Layer in which the distance to the photograph is measured; an earlier layer preserves the image more closely.
    size : int or (int, int), optional
        Height and width in pixels to which a picture or a file is fitted (default: the network's input size).
    threshold : float, optional
        Value of the objective to cross; it must exceed the photograph's own.
    weights : sequence of float
        Weights of the squared distance in `layer`, relative to the photograph's squared norm there. The objective is measured
        in units of its distance to the threshold, or without one of its value on the photograph. Larger weights change less.
    steps, seed, parameterization, transforms, optimizer, progress
        As in `phosphene.render` (defaults: Fourier parameters, a jitter of one pixel, and Adam with step size 0.02).

    Returns
    -------
    Accentuation

    Raises
    ------
    InvalidParameter
        For a threshold that the photograph already reaches, weights that are not positive, and a photograph that is too small.
    """
    a_network(network).layers[layer]
    wanted = as_objective(objective)
    weights = numbers("weights", weights, minimum=0.0, open_minimum=True, fix=f"The default is {WEIGHTS}.")
    if not 0 < len(weights) <= MOST:
        raise InvalidParameter(
            "weights",
            allowed=f"at least one number, all of them above 0, and at most {MOST:,}",
            received=weights,
            fix=f"The default is {WEIGHTS}.",
        )
    threshold = None if threshold is None else number("threshold", threshold)
    photograph, _ = photograph_for(network, image, wanted, size, own_size=False)
    before = float(_values(network, wanted, photograph[None])[0])
    if threshold is not None and not threshold > before:
        raise InvalidParameter(
            "threshold",
            allowed=f"a number above the photograph's own value, {before:.4g}",
            received=threshold,
            fix="To lower a unit, accentuate the negated objective.",
        )
    unit = max(abs(before), 1e-3) if threshold is None else threshold - before
    near = match(layer, activations(network, photograph, layer)[layer][0])
    renders = render(
        network,
        [Sum((wanted, near), (1.0 / unit, float(weight))) for weight in weights],
        size=(photograph.shape[0], photograph.shape[1]),
        steps=steps,
        seed=seed,
        start=photograph,
        parameterization=fourier(decay=1.0) if parameterization is None else parameterization,
        transforms=[jitter(1)] if transforms is None else transforms,
        regularizers=[],
        optimizer=adam(0.02) if optimizer is None else optimizer,
        progress=progress,
    )
    values = _values(network, wanted, renders.images)
    apart = activations(network, renders.images, layer)[layer] - near.wanted
    feature = np.square(apart).reshape(len(values), -1).sum(axis=1) / max(float(np.square(near.wanted).sum()), 1e-12)
    change = np.sqrt(np.square(renders.images - photograph).reshape(len(values), -1).sum(axis=1))
    labels = tuple(f"{wanted.label}, weight {weight:g}" for weight in weights)
    crossing = None if threshold is None else _smallest(network, wanted, photograph, renders.images, change, threshold)
    return Accentuation(
        photograph=photograph,
        renders=replace(renders, labels=labels, values=values),
        before=before,
        change=change,
        feature_change=feature,
        layer=layer,
        threshold=threshold,
        smallest=None if crossing is None else crossing.image,
        smallest_change=float("nan") if crossing is None else crossing.change,
    )


@dataclass(frozen=True)
class Crossing:
    """The picture at which the objective crosses the threshold, and its distance from the photograph."""

    image: NDArray[np.float32]
    change: float


def _smallest(
    network: Network,
    wanted: Objective,
    photograph: NDArray[np.float32],
    images: NDArray[np.float32],
    change: Floats,
    threshold: float,
) -> Crossing | None:
    """On the lines from the photograph to the pictures, find the first points past the threshold, and return the nearest."""
    found: Crossing | None = None
    parts = np.linspace(0.0, 1.0, ALONG, dtype=np.float32)[1:, None, None, None]
    for picture, length in zip(images, change, strict=True):
        line = photograph + parts * (picture - photograph)
        crossed = np.flatnonzero(_values(network, wanted, line) >= threshold)
        if len(crossed) and (found is None or float(parts[crossed[0], 0, 0, 0]) * length < found.change):
            found = Crossing(line[crossed[0]], float(parts[crossed[0], 0, 0, 0]) * float(length))
    return found


def _values(network: Network, wanted: Objective, images: NDArray[np.float32]) -> Floats:
    """Values of the objective on untransformed images, ``(N,)``."""
    with network.scope():
        bound = wanted.bind(network, ShapesAt(network, (images.shape[1], images.shape[2])))
    (values,) = run_program(network, bound, Value(network, bound.form), images, 16)
    return np.asarray(values, np.float64)
