"""Objectives made of others: weighted groups, the way from one to another, and several unlike pictures of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.backend import Network
from phosphene.draws import integer
from phosphene.errors import InvalidObjective, InvalidParameter, said
from phosphene.objectives.declarations import Bound, Objective, Sum, layer_shape
from phosphene.objectives.forms import DirectionForm, DiversityForm, LinearForm, SpatialForm
from phosphene.objectives.places import Place, Shapes, place_of, place_text, position_of

__all__ = ["diverse", "group", "interpolate", "spatial"]


class Company:
    """What objectives that depend on each other hold in common; compared by identity."""


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
                    "channels", allowed=f"0 to {count - 1} ({self.layer!r} has {count} channels)", received=channel,
                    fix="net.layers shows the channels of each layer.",
                )  # fmt: skip
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
                "pattern", allowed=f"an array of at most {shape}, with all {shape[-1]} channels of {self.layer!r}",
                received=pattern.shape, fix="Without positions use ph.direction.",
            )  # fmt: skip
        if not np.all(np.isfinite(pattern)) or not np.any(pattern):
            raise InvalidObjective(
                "pattern",
                allowed="finite numbers, not all zero",
                received=said("others"),
                fix="A pattern needs a length.",
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
    """The weighted mean of several channels, or of several neurons at one position.

    Parameters
    ----------
    layer : str
        Path of the layer.
    channels : sequence of int, or mapping of int to float
        Channels, or channels with their weights.
    weights : sequence of float, optional
        One a channel; all alike when absent. Negative ones hold a channel down. Their sum is brought to 1.
    at : "mean", "centre", sequence of int or str, default "mean"
        Averaged over positions, or at one of them (as in `phosphene.neuron`).

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        For no channel, one that is named twice, weights that are not one a channel, or ones that sum to zero.
    """
    given = dict(channels) if isinstance(channels, Mapping) else dict.fromkeys(channels, 1.0)
    count = len(channels)
    if not given or len(given) != count:
        raise InvalidParameter(
            "channels", allowed="at least one channel, none of them twice", received=list(channels),
            fix='For example ph.group("stage3", [3, 8, 21]).',
        )  # fmt: skip
    if weights is not None:
        if isinstance(channels, Mapping) or len(weights) != count:
            raise InvalidParameter(
                "weights", allowed=f"{count} numbers, one a channel, and none beside a mapping", received=list(weights),
                fix="ph.group(layer, {3: 1.0, 8: 0.5}) says both at once.",
            )  # fmt: skip
        given = dict(zip(given, weights, strict=True))
    values = np.asarray(list(given.values()), np.float64)
    total = values.sum()
    if not np.all(np.isfinite(values)) or abs(total) <= 1e-9 * np.abs(values).max(initial=1e-300):
        raise InvalidParameter(
            "weights", allowed="finite numbers whose sum is not zero", received=values.tolist(),
            fix="To hold one thing against another subtract objectives: ph.channel(a, 1) - ph.channel(a, 2).",
        )  # fmt: skip
    place = "mean" if at == "mean" else place_of(at)
    pairs = zip(given, values / total, strict=True)
    return WeightedGroup(layer, tuple((int(channel), float(weight)) for channel, weight in pairs), place)


def spatial(layer: str, pattern: ArrayLike, *, cosine_power: float = 0.0) -> Objective:
    """A direction over positions and channels: what excites *this* arrangement of a layer.

    Parameters
    ----------
    layer : str
        Path of a layer with positions.
    pattern : array-like (h, w, C)
        At most as large as the layer; a smaller one is held against its middle.
    cosine_power : float, default 0
        As of `phosphene.direction`.

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        When `cosine_power` is negative.
    """
    if not cosine_power >= 0:
        raise InvalidParameter(
            "cosine_power", allowed="a number of at least 0", received=cosine_power, fix="Use 1 to 4."
        )
    return Spatial(layer, np.asarray(pattern, np.float64), float(cosine_power))


def interpolate(first: Objective, second: Objective, count: int = 5) -> list[Objective]:
    """The way from one objective to another, both ends included (Olah et al. 2017).

    Parameters
    ----------
    first, second : Objective
    count : int, default 5
        Objectives, at least 2.

    Returns
    -------
    list of Objective
        ``(1 - t) * first + t * second`` for t from 0 to 1.
    """
    count = integer("count", count, minimum=2)
    return [Sum((first, second), (1.0 - t, t)) for t in np.linspace(0.0, 1.0, count).tolist()]


def diverse(objective: Objective, count: int, layer: str, weight: float = 1.0) -> list[Objective]:
    """Several pictures of one objective that are unlike each other: what else makes this unit fire (Olah et al. 2017).

    They are computed in one batch, and each is held away from the others by the Gram matrices of a layer.

    Parameters
    ----------
    objective : Objective
    count : int
        Pictures, at least 2.
    layer : str
        Whose textures have to differ; one before or at the objective's own.
    weight : float, default 1
        Of the term, a mean cosine in [-1, 1], against the objective; above 0.

    Returns
    -------
    list of Objective
        For one call of `phosphene.render`.

    Raises
    ------
    InvalidParameter
        For fewer than two pictures, or a weight that is not positive.
    """
    count = integer("count", count, minimum=2)
    if not 0 < weight < float("inf"):
        raise InvalidParameter(
            "weight", allowed="a positive number", received=weight, fix="About as large as the objective's own value."
        )
    company = Company()
    return [Diverse(objective, layer, float(weight), number, company) for number in range(count)]
