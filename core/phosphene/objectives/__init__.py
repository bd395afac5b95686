"""What to maximise: a neuron, a channel, a direction, a layer, a class, a match, or any function of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter
from phosphene.objectives.combinations import diverse, group, interpolate, spatial
from phosphene.objectives.declarations import (
    Bound,
    Channel,
    Direction,
    Logit,
    Match,
    Neuron,
    Objective,
    User,
    WholeLayer,
    class_index,
)
from phosphene.objectives.places import place_of
from phosphene.types import UserObjective

__all__ = [
    "Bound",
    "Objective",
    "channel",
    "class_index",
    "direction",
    "diverse",
    "group",
    "interpolate",
    "layer",
    "logit",
    "match",
    "neuron",
    "objective",
    "spatial",
    "target_objective",
]


def neuron(layer: str, channel: int, at: Sequence[int] | str | None = None) -> Objective:
    """One channel at one position (Erhan et al. 2009, activation maximization).

    Parameters
    ----------
    layer : str
        Path of the layer.
    channel : int
        Channel, from 0.
    at : sequence of int or str, optional
        Position in the layer: (row, column), also where the patches of an image are tokens; (token,), or the name of a token:
        "class". The centre when absent.

    Returns
    -------
    Objective
    """
    return Neuron(layer, channel, place_of(at))


def channel(layer: str, channel: int) -> Objective:
    """Mean over positions of one channel (Olah et al. 2017).

    Parameters
    ----------
    layer : str
        Path of the layer.
    channel : int
        Channel, from 0.

    Returns
    -------
    Objective
    """
    return Channel(layer, channel)


def direction(
    layer: str,
    vector: ArrayLike,
    *,
    at: Sequence[int] | str = "mean",
    cosine_power: float = 0.0,
    measure: str = "dot",
    label: str = "",
) -> Objective:
    """A direction in a layer's channel space: ``(h.v) max(cos(h, v), 0.1)^p`` (Carter et al. 2019).

    Parameters
    ----------
    layer : str
        Path of the layer.
    vector : array-like (C,)
        The direction v; its length scales the objective.
    at : "mean", "centre", sequence of int or str, default "mean"
        Where h is read: averaged over positions, at the central one, or at a given one (as in `neuron`).
    cosine_power : float, default 0
        p: 0 is the plain dot product; larger values ask for the direction rather than for length.
    measure : "dot", "cosine" or "log distance", default "dot"
        "cosine" is the cosine alone, whatever the length of h. "log distance" is ``-log(1 - cos(h, v))``, which does not
        slacken as the direction comes near: it asks as much for the last percent as for the first.
    label : str, optional
        Title of the picture.

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        When `cosine_power` or `measure` is not allowed, or a power comes with another measure than "dot".
    """
    if not cosine_power >= 0:
        raise InvalidParameter(
            "cosine_power", allowed="a number of at least 0", received=cosine_power, fix="Use 1 to 4."
        )
    if measure not in ("dot", "cosine", "log distance"):
        raise InvalidParameter("measure", allowed="'dot', 'cosine' or 'log distance'", received=measure, fix="")
    if measure != "dot" and cosine_power:
        raise InvalidParameter(
            "cosine_power", allowed=f"0 with measure={measure!r}", received=cosine_power,
            fix="A power of the cosine weighs the dot product.",
        )  # fmt: skip
    return Direction(layer, np.asarray(vector, np.float64), place_of(at), float(cosine_power), label, measure)


def layer(layer: str) -> Objective:
    """Everything in a layer at once: the mean square of its activation (DeepDream, Mordvintsev et al. 2015).

    Parameters
    ----------
    layer : str
        Path of the layer.

    Returns
    -------
    Objective
    """
    return WholeLayer(layer)


def logit(wanted: int | str, at: Sequence[int] | str | None = None) -> Objective:
    """The logit of a class, before any softmax (Simonyan et al. 2014); averaged over positions for dense outputs.

    Parameters
    ----------
    wanted : int or str
        Index or name of the class.
    at : sequence of int or "centre", optional
        Position in a dense output (segmentation); averaged over all of them when absent.

    Returns
    -------
    Objective
    """
    return Logit(wanted, place_of(at))


def match(layer: str, wanted: ArrayLike, *, measure: str = "squared", cosine_power: float = 1.0) -> Match:
    """Closeness of a layer's activation to a wanted one (Mahendran and Vedaldi 2015).

    Parameters
    ----------
    layer : str
        Path of the layer.
    wanted : array-like
        The activation, channel-last without batch axis.
    measure : "squared" or "cosine", default "squared"
        Minus the normalised squared error, or normalised dot product times a power of the cosine.
    cosine_power : float, default 1
        The power, for "cosine".

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        When `measure` is unknown.
    """
    if measure not in ("squared", "cosine"):
        raise InvalidParameter("measure", allowed="'squared' or 'cosine'", received=measure, fix="Choose one of them.")
    return Match(layer, np.asarray(wanted), measure, float(cosine_power))


def objective(function: UserObjective, layers: Sequence[str] | None = None) -> Objective:
    """Any function of activations as an objective, on both frameworks unchanged.

    Parameters
    ----------
    function : callable
        ``f(xp, activations) -> (N,)``: activations by layer path, channel-last with a batch axis; `xp` is the array-API
        namespace of the framework. To be maximised.
    layers : sequence of str, optional
        What it reads; found by running it once when absent.

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        When `function` cannot be called.
    """
    if not callable(function):
        raise InvalidParameter(
            "objective", allowed="an objective, or a function f(xp, activations)", received=function,
            fix='For example ph.channel("stage3", 5).',
        )  # fmt: skip
    return User(function, None if layers is None else tuple(layers))


def target_objective(target: Any) -> Objective:
    """What is written as a target: a class by its name or index, an objective, or a function."""
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        return logit(int(target))
    return logit(target) if isinstance(target, str) else as_objective(target)


def as_objective(value: Any) -> Objective:
    """An objective as it is, a function as `objective` makes it."""
    return value if isinstance(value, Objective) else objective(value)
