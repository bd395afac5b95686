"""What can be written down: a name, the public function that makes it, its keys, and how they are read off what it made.

A file that comes from elsewhere can name these and nothing else: there is no other way from data to an object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from phosphene.declaring.values import (
    Reader,
    array,
    brief,
    number,
    number_or_numbers,
    numbers,
    place,
    size,
    text,
    truth,
    whole,
    whole_or_text,
    wholes,
)
from phosphene.errors import InvalidParameter
from phosphene.objectives import Objective, channel, direction, group, layer, logit, neuron, spatial
from phosphene.objectives.combinations import Spatial, WeightedGroup
from phosphene.objectives.declarations import Channel, Direction, Logit, Neuron, WholeLayer
from phosphene.optimizers import Adam, Cosine, Nadam, Sgd, adam, cosine, nadam, sgd
from phosphene.parameterizations import fourier, maco, pixel
from phosphene.parameterizations.phases import Phases
from phosphene.parameterizations.pixels import Pixel
from phosphene.parameterizations.spectral import Fourier
from phosphene.penalties import Norm, Penalty, TotalVariation, l1, l2, total_variation
from phosphene.projections import Blur, Clip, Decay, blur, clip, decay
from phosphene.transforms import Pad, Resize, colour, crop, flip, jitter, noise, pad, resize, roll, rotate, scale
from phosphene.transforms.affine import Crop, Flip, Jitter, Rotate, Scale
from phosphene.transforms.pointwise import Colour, Noise, Roll

__all__ = ["GROUPS", "LARGEST_SIDE", "SCHEDULE", "Kind", "kinds_of"]

LARGEST_SIDE = 4096
"""Of a picture, in pixels, in what is read from a file."""

SCHEDULE = "schedule"
"""The one key whose value is a declaration of its own, among those of the table."""


@dataclass(frozen=True)
class Kind:
    """One thing that can be written down.

    Attributes
    ----------
    name : str
    make : callable
        The public function, or one that only calls it.
    made : type
        What it returns.
    keys : mapping of str to reader
        Arguments of `make`.
    arguments : callable
        These arguments of a made object; None is left out.
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
    """A kind whose arguments are attributes of what is made: of the same name, or of the one given beside the reader."""
    readers = {key: given[1] if isinstance(given, tuple) else given for key, given in keys.items()}
    names = {key: given[0] if isinstance(given, tuple) else key for key, given in keys.items()}

    def arguments(value: Any) -> dict[str, Any]:
        return {key: getattr(value, attribute) for key, attribute in names.items()}

    return Kind(name or make.__name__, make, made, readers, arguments)


def _total_variation(weight: float, form: str = "isotropic") -> Penalty:
    """The penalty; what its function calls `kind` is "form" in a file, where "kind" says what a thing is."""
    return total_variation(weight, form)


def _weighted(layer: str, channels: list[int], weights: list[float], at: str | tuple[int, ...] = "mean") -> Objective:
    """The group; weights that sum to 1 already, up to rounding, are kept to the last bit, by which draws are keyed."""
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


PIXELS = whole(0, LARGEST_SIDE)
MOMENTS: dict[str, Any] = {"learning_rate": number, "beta1": number, "beta2": number, "epsilon": number}


def _deviation(where: str, value: Any) -> float:
    """Of a blur, whose kernel is eight of them long."""
    if number(where, value) > 1000:
        raise InvalidParameter(where, allowed="at most 1000 pixels", received=brief(value))
    return number(where, value)


def _schedule(where: str, value: Any) -> Any:
    """Read before the reader sees it, as what it is: a declaration."""
    return value


GROUPS: dict[str, tuple[Kind, ...]] = {
    "parameterization": (
        _kind(fourier, Fourier, decay=("power", number), decorrelate=truth, spread=number, shared=number),
        _kind(pixel, Pixel, spread=number, uniform=truth),
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
        _kind(colour, Colour, gain=number, shift=number, channels=whole(1, 1024)),
    ),
    "regularizer": (
        _kind(_total_variation, TotalVariation, name="total_variation", weight=number, form=("kind", text)),
        _kind(l1, Norm, weight=number),
        _kind(l2, Norm, weight=number),
        _kind(blur, Blur, sigma=_deviation, every=whole(1)),
        _kind(decay, Decay, rate=number),
        _kind(clip, Clip, low=number, high=number),
    ),
    "optimizer": (
        _kind(adam, Adam, **MOMENTS, schedule=_schedule),
        _kind(nadam, Nadam, **MOMENTS, momentum_decay=number, schedule=_schedule),
        _kind(sgd, Sgd, learning_rate=number, momentum=number, normalize=truth, schedule=_schedule),
    ),
    SCHEDULE: (_kind(cosine, Cosine, steps=whole(1), final=number),),
    "objective": (
        _kind(channel, Channel, layer=text, channel=whole()),
        _kind(neuron, Neuron, layer=text, channel=whole(), at=place),
        _kind(logit, Logit, wanted=whole_or_text, at=place),
        _kind(layer, WholeLayer, layer=text),
        _kind(direction, Direction, layer=text, vector=array(1), at=place, cosine_power=number, label=("name", text)),
        Kind(
            "group",
            _weighted,
            WeightedGroup,
            {"layer": text, "channels": wholes, "weights": numbers, "at": place},
            _weighted_arguments,
        ),
        _kind(spatial, Spatial, layer=text, pattern=array(3), cosine_power=number),
    ),
}


def kinds_of(made: type) -> list[tuple[str, Kind]]:
    """Group and kind of all functions that make objects of exactly that type."""
    return [(group, kind) for group, kinds in GROUPS.items() for kind in kinds if kind.made is made]
