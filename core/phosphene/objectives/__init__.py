"""Objectives to maximise: neurons, channels, directions, layers, classes, matches, or any function of activations."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter
from phosphene.kit.checks import choice, floats, names, number
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
    class_of,
    index_of,
    layer_path,
)
from phosphene.objectives.location import place_of
from phosphene.types import UserObjective

__all__ = [
    "Bound",
    "Objective",
    "channel",
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
]


def neuron(layer: str, channel: int, at: int | Sequence[int] | str | None = None) -> Objective:
    """Maximise one channel at one position (activation maximization; Erhan et al. 2009).

    Parameters
    ----------
    layer : str
        Path of the layer.
    channel : int
        Index of the channel, from 0.
    at : int, sequence of int or str, optional
        Position in the layer: ``(row, column)``, also for tokens that stand for image patches; one integer for a layer with one
        axis of positions, such as tokens; or the name of a token, such as "class" (default: the centre).

    Returns
    -------
    Objective
    """
    return Neuron(layer_path(layer), index_of(channel), place_of(at))


def channel(layer: str, channel: int) -> Objective:
    """Maximise the mean over positions of one channel (Olah et al. 2017).

    Parameters
    ----------
    layer : str
        Path of the layer.
    channel : int
        Index of the channel, from 0.

    Returns
    -------
    Objective
    """
    return Channel(layer_path(layer), index_of(channel))


def direction(
    layer: str,
    vector: ArrayLike,
    *,
    at: int | Sequence[int] | str = "mean",
    cosine_power: float = 0.0,
    measure: str = "dot",
    label: str = "",
) -> Objective:
    """Maximise a direction in a layer's channel space: ``(h.v) max(cos(h, v), 0.1)^p`` (Carter et al. 2019).

    Parameters
    ----------
    layer : str
        Path of the layer.
    vector : array-like (C,)
        The direction v; its length scales the objective.
    at : "mean", "centre", int, sequence of int or str, default "mean"
        Where h is read: averaged over positions, at the central position, or at a given one (as in `neuron`).
    cosine_power : float, default 0
        The power p, at least 0: 0 is the plain dot product; larger values favour the direction over the length of h.
    measure : "dot", "cosine" or "log distance", default "dot"
        "cosine" is the cosine alone, whatever the length of h. "log distance" is ``-log(1 - cos(h, v))``, whose gradient does
        not vanish as h approaches the direction.
    label : str, optional
        Title of the picture (default: made from the layer).

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        If `cosine_power` or `measure` is invalid, or a power is combined with another measure than "dot".
    """
    power = number("cosine_power", cosine_power, minimum=0.0)
    choice("measure", measure, ("dot", "cosine", "log distance"))
    if measure != "dot" and power:
        raise InvalidParameter(
            "cosine_power",
            allowed=f"0 with measure={measure!r}",
            received=cosine_power,
            fix="Leave cosine_power out, or use measure='dot'.",
        )
    if not isinstance(label, str):
        raise InvalidParameter("label", allowed="a string", received=label, fix='For example label="edges".')
    return Direction(layer_path(layer), floats("vector", vector), place_of(at), power, label, measure)


def layer(layer: str) -> Objective:
    """Maximise a whole layer: the mean square of its activation (DeepDream; Mordvintsev et al. 2015).

    Parameters
    ----------
    layer : str
        Path of the layer.

    Returns
    -------
    Objective
    """
    return WholeLayer(layer_path(layer))


def logit(wanted: int | str, at: int | Sequence[int] | str | None = None) -> Objective:
    """Maximise the logit of a class, before any softmax (Simonyan et al. 2014).

    Parameters
    ----------
    wanted : int or str
        Index or name of the class. A name that several classes have is refused: give the index.
    at : int, sequence of int or "centre", optional
        Position in a dense output, such as a segmentation (default: the mean over all positions).

    Returns
    -------
    Objective
    """
    return Logit(class_of(wanted), place_of(at))


def match(layer: str, wanted: ArrayLike, *, measure: str = "squared", cosine_power: float = 1.0) -> Match:
    """Match a layer's activation to a given one (Mahendran and Vedaldi 2015).

    Parameters
    ----------
    layer : str
        Path of the layer.
    wanted : array-like
        The given activation, channel-last without a batch axis.
    measure : "squared" or "cosine", default "squared"
        Minus the normalised squared error, or the normalised dot product times a power of the cosine.
    cosine_power : float, default 1
        The power of the cosine, for measure "cosine".

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        If `measure` is unknown.
    """
    choice("measure", measure, ("squared", "cosine"))
    return Match(
        layer_path(layer), floats("wanted", wanted), measure, number("cosine_power", cosine_power, minimum=0.0)
    )


def objective(function: UserObjective, layers: Sequence[str] | None = None) -> Objective:
    """Maximise any function of activations; the same function works on both frameworks.

    Parameters
    ----------
    function : callable
        ``f(xp, activations) -> (N,)``: `activations` maps layer paths to channel-last arrays with a batch axis; `xp` is the
        array-API namespace of the framework.
    layers : sequence of str, optional
        Paths of the layers that the function reads (default: found by running it once on a grey image of the size in use).

    Returns
    -------
    Objective

    Raises
    ------
    InvalidParameter
        If `function` is not callable.
    """
    if not callable(function) or isinstance(function, type):
        raise InvalidParameter(
            "objective",
            allowed="an objective or a function f(xp, activations)",
            received=function,
            fix='For example ph.channel("stage3", 5).',
        )
    if layers is None:
        return User(function, None)
    paths = names("layers", layers, fix='For example layers=["stage2", "stage3"].')
    if not paths:
        raise InvalidParameter(
            "layers",
            allowed="at least one path, or None",
            received=layers,
            fix="Leave it out: layers are found by running it.",
        )
    return User(function, paths)
