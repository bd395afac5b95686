"""The table of declarations that can be written down: per name the public function, its arguments, and how to read them off.

A file can name these functions and no others: there is no other way from data to an object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from phosphene.errors import InvalidParameter
from phosphene.objectives import Objective, channel, direction, group, layer, logit, neuron, spatial
from phosphene.objectives.combinations import Spatial, WeightedGroup
from phosphene.objectives.declarations import Channel, Constant, Direction, Logit, Neuron, WholeLayer
from phosphene.optimizers import Adam, Cosine, Nadam, Sgd, adam, cosine, nadam, sgd
from phosphene.parameterizations import fourier, maco, pixel
from phosphene.parameterizations.phases import Phases
from phosphene.parameterizations.spatial import Pixel
from phosphene.parameterizations.spectral import Fourier
from phosphene.regularizers.penalties import Norm, Penalty, TotalVariation, l1, l2, total_variation
from phosphene.regularizers.projections import Blur, Clip, Decay, blur, clip, decay
from phosphene.rendering.serialization.values import (
    Reader,
    array,
    boolean,
    brief,
    integer,
    integer_or_text,
    integers,
    number,
    number_or_numbers,
    numbers,
    position,
    size,
    text,
)
from phosphene.transforms import colour, crop, flip, jitter, noise, pad, resize, roll, rotate, scale
from phosphene.transforms.affine import Crop, Flip, Jitter, Pad, Resize, Rotate, Scale
from phosphene.transforms.pointwise import Colour, Noise, Roll

__all__ = ["GROUPS", "LARGEST_SIDE", "SCHEDULE", "Kind", "kinds_of"]

LARGEST_SIDE = 4096
"""Largest side of a picture, in pixels, in what is read from a file."""

SCHEDULE = "schedule"
"""The only argument in the table whose value is itself a declaration."""


@dataclass(frozen=True)
class Kind:
    """One declaration that can be written down.

    Attributes
    ----------
    name : str
    make : callable
        The public function, or a wrapper of it.
    made : type
        What it returns.
    keys : mapping of str to reader
        Arguments of `make`.
    arguments : callable
        Returns these arguments for an object that `make` returned; those that are None are not written.
    """

    name: str
    make: Callable[..., Any]
    made: type
    keys: Mapping[str, Reader]
    arguments: Callable[[Any], dict[str, Any]]

    @property
    def required(self) -> list[str]:
        """Keys without a default."""
        known = inspect.signature(self.make).parameters
        return [key for key in self.keys if known[key].default is inspect.Parameter.empty]


def _kind(make: Callable[..., Any], made: type, *, name: str = "", **keys: Reader | tuple[str, Reader]) -> Kind:
    """A kind whose arguments are attributes of what is made, of the same name or of the one given with the reader."""
    readers = {key: given[1] if isinstance(given, tuple) else given for key, given in keys.items()}
    names = {key: given[0] if isinstance(given, tuple) else key for key, given in keys.items()}

    def arguments(value: Any) -> dict[str, Any]:
        return {key: getattr(value, attribute) for key, attribute in names.items()}

    return Kind(name or make.__name__, make, made, readers, arguments)


def _total_variation(weight: float, form: str = "isotropic") -> Penalty:
    """`total_variation` with "form" for its `kind`: in a file, "kind" names the declaration."""
    return total_variation(weight, form)


def _weighted(layer: str, channels: list[int], weights: list[float], at: str | tuple[int, ...] = "mean") -> Objective:
    """`group`, except that weights which sum to 1 up to rounding are kept bit by bit, because random draws are keyed by them."""
    made = group(layer, channels, weights, at=at)
    if isinstance(made, WeightedGroup) and abs(sum(weights) - 1) < 1e-9:
        exact = tuple((index, float(weight)) for index, weight in zip(channels, weights, strict=True))
        return replace(made, weights=exact)
    return made


def _weighted_arguments(value: Any) -> dict[str, Any]:
    return {
        "layer": value.layer,
        "channels": [index for index, _ in value.weights],
        "weights": [weight for _, weight in value.weights],
        "at": value.at,
    }


def _scale_arguments(value: Any) -> dict[str, Any]:
    if value.continuous:
        return {"low": value.values[0], "high": value.values[1]}
    return {"low": list(value.values)}


def _rotate_arguments(value: Any) -> dict[str, Any]:
    return {"degrees": value.degrees[1] if value.continuous else list(value.degrees)}


PIXELS = integer(0, LARGEST_SIDE)
MOMENTS: dict[str, Any] = {"learning_rate": number, "beta1": number, "beta2": number, "epsilon": number}


def _deviation(where: str, value: Any) -> float:
    """Standard deviation of a blur in pixels, whose kernel is eight times as long."""
    if number(where, value) > 1000:
        raise InvalidParameter(
            where,
            allowed="at most 1000 pixels",
            received=brief(value),
            fix="A blur of a few pixels is usual, such as 1.0.",
        )
    return number(where, value)


def _schedule(where: str, value: Any) -> Any:
    """Returned as it is: a schedule is read as a declaration before this is called."""
    return value


GROUPS: dict[str, tuple[Kind, ...]] = {
    "parameterization": (
        _kind(fourier, Fourier, decay=("power", number), decorrelate=boolean, spread=number, shared=number),
        _kind(pixel, Pixel, spread=number, uniform=boolean),
        _kind(maco, Phases, decay=("power", number), contrast=number),
    ),
    "transform": (
        _kind(pad, Pad, pixels=("growth", PIXELS)),
        _kind(jitter, Jitter, pixels=("distance", PIXELS)),
        Kind("scale", scale, Scale, {"low": number_or_numbers, "high": number}, _scale_arguments),
        Kind("rotate", rotate, Rotate, {"degrees": number_or_numbers}, _rotate_arguments),
        _kind(flip, Flip),
        _kind(crop, Crop, first=number, last=number, deviation=number, spread=number),
        _kind(resize, Resize, size=size(2, LARGEST_SIDE)),
        _kind(noise, Noise, deviation=number, final=number),
        _kind(roll, Roll, pixels=("distance", PIXELS)),
        _kind(colour, Colour, gain=number, shift=number, channels=integer(1, 1024)),
    ),
    "regularizer": (
        _kind(_total_variation, TotalVariation, name="total_variation", weight=number, form=("kind", text)),
        _kind(l1, Norm, weight=number),
        _kind(l2, Norm, weight=number),
        _kind(blur, Blur, sigma=_deviation, every=integer(1)),
        _kind(decay, Decay, rate=number),
        _kind(clip, Clip, low=number, high=number),
    ),
    "optimizer": (
        _kind(adam, Adam, **MOMENTS, schedule=_schedule),
        _kind(nadam, Nadam, **MOMENTS, momentum_decay=number, schedule=_schedule),
        _kind(sgd, Sgd, learning_rate=number, momentum=number, normalize=boolean, schedule=_schedule),
    ),
    SCHEDULE: (_kind(cosine, Cosine, steps=integer(1), final=number),),
    "objective": (
        _kind(channel, Channel, layer=text, channel=integer()),
        _kind(neuron, Neuron, layer=text, channel=integer(), at=position),
        _kind(logit, Logit, wanted=integer_or_text, at=position),
        _kind(layer, WholeLayer, layer=text),
        _kind(Constant, Constant, name="number", value=number),
        _kind(
            direction, Direction, layer=text, vector=array(1), at=position, cosine_power=number, label=("name", text)
        ),
        Kind(
            "group",
            _weighted,
            WeightedGroup,
            {"layer": text, "channels": integers, "weights": numbers, "at": position},
            _weighted_arguments,
        ),
        _kind(spatial, Spatial, layer=text, pattern=array(3), cosine_power=number),
    ),
}


def kinds_of(made: type) -> list[tuple[str, Kind]]:
    """Group and kind of each function that returns objects of exactly this type."""
    return [(group, kind) for group, kinds in GROUPS.items() for kind in kinds if kind.made is made]
