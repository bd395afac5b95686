"""`accentuate`: what would have to change in a photograph for a unit to fire more, and no more than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.activations import activations
from phosphene.ascent import Progress
from phosphene.attribution.job import for_all
from phosphene.attribution.programs import Value
from phosphene.backend import Network
from phosphene.dreaming import photograph_for
from phosphene.errors import InvalidParameter
from phosphene.objectives import Objective, as_objective, match
from phosphene.objectives.declarations import Sum
from phosphene.optimizers import adam
from phosphene.parameterizations import Parameterization, fourier
from phosphene.rendering import render
from phosphene.results import Accentuation
from phosphene.transforms import Transform, jitter
from phosphene.types import Floats, UserObjective

__all__ = ["accentuate"]

WEIGHTS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
ALONG = 65
"""Points between the photograph and a picture at which the objective is read, to find where it crosses the threshold."""


def accentuate(
    network: Network,
    image: ArrayLike,
    objective: Objective | UserObjective,
    *,
    layer: str,
    threshold: float | None = None,
    weights: Sequence[float] = WEIGHTS,
    steps: int = 64,
    seed: int = 0,
    parameterization: Parameterization | None = None,
    transforms: Sequence[Transform] | None = None,
    optimizer: Any = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Accentuation:
    """Move one unit from a photograph, and stay near the photograph in the space of a layer (Hamblin et al. 2024).

    Several pictures are made at once, held to the photograph more and less tightly; what was added to it is what the unit
    wants to see *there*. With a threshold the smallest change that crosses it is told.

    Parameters
    ----------
    network : Network
    image : array-like (H, W, C)
        In [0, 1].
    objective : Objective or function
        What is moved.
    layer : str
        In whose activations the picture has to stay near the photograph; an earlier one holds the image more closely.
    threshold : float, optional
        Value of the objective to be crossed, above that of the photograph.
    weights : sequence of float
        Of the squared distance in `layer`, relative to the photograph's own squared length there, against the objective: in units
        of the way to the threshold, or of the objective's own value where there is none. Largest first is most timid first.
    steps, seed, parameterization, transforms, optimizer, progress
        As of `phosphene.render`; Fourier parameters, a jitter of one pixel and Adam at 0.02 when absent.

    Returns
    -------
    Accentuation

    Raises
    ------
    InvalidParameter
        For a threshold that the photograph crosses already, weights that are not positive, and a photograph that is too small.
    """
    wanted = as_objective(objective)
    photograph, _ = photograph_for(network, image, wanted)
    if not weights or not all(0 < weight < float("inf") for weight in weights):
        raise InvalidParameter("weights", allowed="positive numbers", received=list(weights), fix="Leave them out.")
    before = float(_values(network, wanted, photograph[None])[0])
    if threshold is not None and not threshold > before:
        raise InvalidParameter(
            "threshold", allowed=f"a number above the photograph's own value, {before:.4g}", received=threshold,
            fix="To push a unit down, accentuate minus the objective.",
        )  # fmt: skip
    unit = max(abs(before), 1e-3) if threshold is None else threshold - before
    near = match(layer, activations(network, photograph, layer)[layer][0])
    renders = render(
        network,
        [Sum((wanted, near), (1.0 / unit, float(weight))) for weight in weights],
        size=(photograph.shape[0], photograph.shape[1]),
        steps=steps,
        seed=seed,
        start=photograph,
        parameterization=parameterization or fourier(decay=1.0),
        transforms=[jitter(1)] if transforms is None else transforms,
        regularizers=[],
        optimizer=optimizer or adam(0.02),
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
    """The picture at which the objective crosses the threshold, and how far it is from the photograph."""

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
    """On the straight way from the photograph to each picture, the first point behind the threshold; the nearest of them."""
    found: Crossing | None = None
    parts = np.linspace(0.0, 1.0, ALONG, dtype=np.float32)[1:, None, None, None]
    for picture, length in zip(images, change, strict=True):
        way = photograph + parts * (picture - photograph)
        crossed = np.flatnonzero(_values(network, wanted, way) >= threshold)
        if len(crossed) and (found is None or float(parts[crossed[0], 0, 0, 0]) * length < found.change):
            found = Crossing(way[crossed[0]], float(parts[crossed[0], 0, 0, 0]) * float(length))
    return found


def _values(network: Network, wanted: Objective, images: NDArray[np.float32]) -> Floats:
    """The objective on clean images, ``(N,)``."""
    with network.scope():
        bound = wanted.bind(network, network.shapes((images.shape[1], images.shape[2])))
    (values,) = for_all(network, bound, Value(network, bound.form), images, 16)
    return np.asarray(values, np.float64)
