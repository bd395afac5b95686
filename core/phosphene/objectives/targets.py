"""Targets as callers write them: an objective, a class by name or index, a function, or text such as ``"stage3:0-15"``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import sequence
from phosphene.objectives.declarations import Channel, Logit, Neuron, Objective, Sum, User, WholeLayer
from phosphene.objectives.location import place_of

__all__ = ["as_objective", "as_objectives", "parse", "summed", "target_objective"]

ALL = ":all"
UNITS = re.compile(r"(.+):([0-9]+)(?:-([0-9]+))?(?:@(centre|[0-9]+(?:,[0-9]+)*))?", re.DOTALL)
"""``LAYER:CHANNEL``, ``LAYER:FIRST-LAST`` or ``LAYER:CHANNEL@ROW,COLUMN``."""

MOST = 10_000
"""Most objectives of one call, and most that one text may stand for."""

MOST_DIGITS = 9
"""Digits of the longest index in a text."""

WRITTEN = 'a class ("coins"), channels ("stage3:5", "stage3:0-15"), a neuron ("stage3:5@2,3") or a layer ("stage3:all")'


def parse(text: str, parameter: str = "target") -> list[Objective]:
    """Return the objectives that a text stands for, as on the command line.

    Parameters
    ----------
    text : str
        A class by name or index, ``LAYER:CHANNEL``, ``LAYER:FIRST-LAST``, ``LAYER:CHANNEL@ROW,COLUMN`` or ``LAYER:all``.
    parameter : str, default "target"
        Name of the argument, for messages.

    Returns
    -------
    list of Objective

    Raises
    ------
    InvalidParameter
        If the text is empty, or the last channel comes before the first.
    """
    if not text.strip():
        raise InvalidParameter(parameter, allowed=WRITTEN, received=text, fix=f'For example {parameter}="stage3:0-15".')
    if text.endswith(ALL) and text != ALL:
        return [WholeLayer(text.removesuffix(ALL))]
    found = UNITS.fullmatch(text)
    if found is None:
        return [Logit(text, None)]
    layer, first, last, place = found.groups()
    if any(len(part) > MOST_DIGITS for part in [first, last or "", *(place or "").split(",")]):
        raise InvalidParameter(
            parameter,
            allowed=f"indices of at most {MOST_DIGITS} digits",
            received=text,
            fix="net.layers shows the shape of each layer.",
        )
    channels = range(int(first), int(last or first) + 1)
    if not 0 < len(channels) <= MOST:
        raise InvalidParameter(
            parameter,
            allowed=f"LAYER:FIRST-LAST with at most {MOST:,} channels, the first before the last",
            received=text,
            fix="For example stage3:0-15.",
        )
    if place is None:
        return [Channel(layer, index) for index in channels]
    at = place_of(None if place == "centre" else [int(index) for index in place.split(",")])
    return [Neuron(layer, index, at) for index in channels]


def as_objectives(value: Any, parameter: str = "objectives") -> list[Objective]:
    """Return the objectives of a call that takes several: of one target, or of a sequence of them.

    Raises
    ------
    InvalidParameter
        If there is none, or one of them is no target.
    """
    single = isinstance(value, (str, Objective, Mapping)) or callable(value) or not isinstance(value, Iterable)
    single = single or (isinstance(value, np.ndarray) and value.ndim == 0)
    fix = "Render them in several calls, or let one objective stand for many with ph.objectives.group."
    wanted: list[Objective] = []
    for item in [value] if single else sequence(parameter, value, "objectives", fix, most=MOST):
        wanted += parse(item, parameter) if isinstance(item, str) else [as_objective(item, parameter)]
        if len(wanted) > MOST:
            raise InvalidParameter(
                parameter, allowed=f"at most {MOST:,} objectives", received=said(f"{len(wanted):,} or more"), fix=fix
            )
    if not wanted:
        raise InvalidParameter(
            parameter, allowed="at least one objective", received=value, fix="For example ph.logit(0)."
        )
    return wanted


def summed(value: Any, parameter: str = "objective") -> Objective:
    """Return the sum of all targets that are given: an objective, text that may stand for several, or a sequence of them.

    Raises
    ------
    InvalidParameter
        See `as_objectives`.
    """
    wanted = as_objectives(value, parameter)
    return wanted[0] if len(wanted) == 1 else Sum(tuple(wanted), (1.0,) * len(wanted))


def as_objective(value: Any, parameter: str = "objective") -> Objective:
    """Return an objective unchanged, and text or a function as an objective.

    Raises
    ------
    InvalidParameter
        If it is something else, or text that stands for several objectives.
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        found = parse(value, parameter)
        if len(found) != 1:
            raise InvalidParameter(
                parameter, allowed="one objective", received=value, fix=f"It stands for {len(found)}: give one of them."
            )
        return found[0]
    if not callable(value) or isinstance(value, type):
        raise InvalidParameter(
            parameter,
            allowed=f"an objective, a function f(xp, activations), {WRITTEN}",
            received=value,
            fix='For example ph.channel("stage3", 5).',
        )
    return User(value, None)


def target_objective(target: Any, parameter: str = "target") -> Objective:
    """Return the objective of a target: as `as_objective`, or a class by index."""
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        return Logit(int(target), None)
    return as_objective(target, parameter)
