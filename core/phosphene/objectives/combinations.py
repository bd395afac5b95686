"""Objectives made of others: weighted groups, interpolations, arrangements, and diverse pictures of one objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.kit.checks import floats, integer, integers, number, numbers
from phosphene.objectives.declarations import Bound, Objective, Sum, check_depth, layer_path, layer_shape
from phosphene.objectives.forms import DirectionForm, DiversityForm, LinearForm, SpatialForm
from phosphene.objectives.location import Place, Shapes, place_of, place_text, position_of
from phosphene.objectives.targets import MOST, as_objective

__all__ = ["diverse", "group", "interpolate", "spatial"]

EXAMPLE = 'For example ph.objectives.group("stage3", [3, 8, 21]).'


class Company:
    """Marks objectives that depend on each other and are computed in one batch; compared by identity."""


@dataclass(frozen=True)
class WeightedGroup(Objective):
    layer: str
    weights: tuple[tuple[int, float], ...]
    at: Place

    @property
    def label(self) -> str:
        equal = len({weight for _, weight in self.weights}) == 1
        shown = [f"{channel}" if equal else f"{weight:.2g} x {channel}" for channel, weight in self.weights]
        listed = ", ".join(shown[:4]) + (f", ... ({len(shown)})" if len(shown) > 4 else "")
        return f"{self.layer} : {listed}" + ("" if self.at == "mean" else f" at {place_text(self.at)}")

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        count = layer_shape(network, shapes, self.layer)[-1]
        vector = np.zeros(count)
        for channel, weight in self.weights:
            if not 0 <= channel < count:
                raise InvalidParameter(
                    "channels",
                    allowed=f"0 to {count - 1} ({self.layer!r} has {count} channels)",
                    received=channel,
                    fix="net.layers shows the channels of each layer.",
                )
            vector[channel] = weight
        place = () if self.at == "mean" else position_of(network, shapes, self.layer, self.at)
        where = "mean" if self.at == "mean" else "at" if place else "centre"
        return Bound(DirectionForm(self.layer, where), (vector, np.asarray(0.0), *place), self.label)


@dataclass(frozen=True, eq=False)
class Spatial(Objective):
    layer: str
    pattern: NDArray[Any]
    cosine_power: float

    @property
    def label(self) -> str:
        return f"{self.layer} : pattern"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        shape = layer_shape(network, shapes, self.layer)
        pattern = np.asarray(self.pattern, np.float64)
        fits = pattern.ndim == len(shape) > 1 and pattern.shape[-1] == shape[-1]
        if not fits or any(own > whole for own, whole in zip(pattern.shape, shape, strict=True)):
            raise InvalidObjective(
                "pattern",
                allowed=f"an array of at most {shape}, with all {shape[-1]} channels of {self.layer!r}",
                received=pattern.shape,
                fix="For a layer without positions use ph.direction.",
            )
        if not np.all(np.isfinite(pattern)) or not np.any(pattern):
            raise InvalidObjective(
                "pattern",
                allowed="finite numbers, not all zero",
                received=said("NaN, infinity or only zeros"),
                fix="Check the array that the pattern was made from.",
            )
        whole = np.zeros(shape)
        whole[tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(shape, pattern.shape, strict=True))] = pattern
        return Bound(SpatialForm(self.layer), (whole, np.asarray(self.cosine_power, np.float64)), self.label)


@dataclass(frozen=True)
class Diverse(Objective):
    inner: Objective
    layer: str
    weight: float
    number: int
    company: Company

    def __post_init__(self) -> None:
        check_depth(self)

    @property
    def parts(self) -> tuple[Objective, ...]:
        return (self.inner,)

    @property
    def label(self) -> str:
        return f"{self.inner.label}, {self.number + 1}"

    def bind(self, network: Network, shapes: Shapes) -> Bound:
        layer_shape(network, shapes, self.layer)
        inner = self.inner.bind(network, shapes)
        weights = np.asarray([1.0, self.weight])
        form, arguments = LinearForm((inner.form, DiversityForm(self.layer))), (weights, (inner.arguments, ()))
        return Bound(form, arguments, self.label, (weights, inner.key), self.company)


def group(
    layer: str,
    channels: Sequence[int] | Mapping[int, float],
    weights: Sequence[float] | None = None,
    *,
    at: Sequence[int] | str = "mean",
) -> Objective:
    """Maximise the weighted mean of several channels, or of several neurons at one position.

    Parameters
    ----------
    layer : str
        Path of the layer.
    channels : sequence of int, or mapping of int to float
        Indices of the channels, or a mapping from indices to weights.
    weights : sequence of float, optional
        One weight per channel (default: equal weights). A negative weight suppresses its channel. Weights are divided by their
        sum.
    at : "mean", "centre", sequence of int or str, default "mean"
        Whether to average over positions, or to read at one position (as in `phosphene.neuron`).

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        If there is no channel or a repeated one, if there is not one weight per channel, or if the weights sum to zero.
    """
    mapped = isinstance(channels, Mapping)
    listed = integers("channels", tuple(channels) if mapped else channels, fix=EXAMPLE)
    given = (
        dict(zip(listed, channels.values(), strict=True))
        if isinstance(channels, Mapping)
        else dict.fromkeys(listed, 1.0)
    )
    count = len(listed)
    if not given or len(given) != count:
        raise InvalidParameter(
            "channels",
            allowed="at least one channel, each of them once",
            received=list(listed),
            fix=EXAMPLE,
        )
    if weights is not None:
        own = numbers("weights", weights, fix="For example ph.objectives.group(layer, {3: 1.0, 8: 0.5}).")
        if mapped or len(own) != count:
            raise InvalidParameter(
                "weights",
                allowed=f"{count} number{'s' * (count != 1)} (one per channel), or None if channels is a mapping",
                received=list(own),
                fix="For example ph.objectives.group(layer, {3: 1.0, 8: 0.5}).",
            )
        given = dict(zip(given, own, strict=True))
    values = np.asarray([number("weights", value) for value in given.values()], np.float64)
    total = values.sum()
    if abs(total) <= 1e-9 * np.abs(values).max(initial=1e-300):
        raise InvalidParameter(
            "weights",
            allowed="finite numbers whose sum is not zero",
            received=values.tolist(),
            fix="To contrast two channels subtract objectives: ph.channel(layer, 1) - ph.channel(layer, 2).",
        )
    place = place_of(at)
    pairs = zip(given, values / total, strict=True)
    return WeightedGroup(layer_path(layer), tuple((int(channel), float(weight)) for channel, weight in pairs), place)


def spatial(layer: str, pattern: ArrayLike, *, cosine_power: float = 0.0) -> Objective:
    """Maximise a pattern over positions and channels of a layer.

    Parameters
    ----------
    layer : str
        Path of a layer with positions.
    pattern : array-like (h, w, C)
        At most as large as the layer; a smaller pattern is placed at its centre.
    cosine_power : float, default 0
        Power of the cosine, at least 0, as in `phosphene.direction`.

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        If `cosine_power` is negative.
    """
    return Spatial(layer_path(layer), floats("pattern", pattern), number("cosine_power", cosine_power, minimum=0.0))


def interpolate(first: Objective, second: Objective, count: int = 5) -> list[Objective]:
    """Interpolate between two objectives, both included (Olah et al. 2017).

    Parameters
    ----------
    first, second : Objective
    count : int, default 5
        Number of objectives, at least 2.

    Returns
    -------
    list of Objective
        ``(1 - t) * first + t * second`` for t from 0 to 1.
    """
    count = integer("count", count, minimum=2, maximum=MOST)
    first, second = as_objective(first, "first"), as_objective(second, "second")
    return [Sum((first, second), (1.0 - t, t)) for t in np.linspace(0.0, 1.0, count).tolist()]


def diverse(objective: Objective, count: int, layer: str, weight: float = 1.0) -> list[Objective]:
    """Diverse pictures of one objective: the different things that make a unit fire (Olah et al. 2017).

    They are computed in one batch, with a penalty on the similarity of the Gram matrices of a layer.

    Parameters
    ----------
    objective : Objective
    count : int
        Number of pictures, at least 2.
    layer : str
        Layer whose Gram matrices have to differ; at or before the layer of the objective.
    weight : float, default 1
        Weight of the penalty, which is a mean cosine in [-1, 1]; above 0.

    Returns
    -------
    list of Objective
        To be passed to one call of `phosphene.render`.

    Raises
    ------
    InvalidParameter
        If there are fewer than two pictures, or the weight is not positive.
    """
    objective = as_objective(objective)
    count = integer("count", count, minimum=2, maximum=MOST)
    factor = number("weight", weight, minimum=0.0, open_minimum=True)
    company = Company()
    path = layer_path(layer)
    return [Diverse(objective, path, factor, index, company) for index in range(count)]
