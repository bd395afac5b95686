"""Positions in a layer, checked against the layer's shape and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.errors import InvalidParameter

__all__ = ["Place", "Shapes", "place_of", "place_text", "position_of"]

Shapes = Mapping[str, tuple[int, ...]]

Place = tuple[int, ...] | str | None
"""A position in a layer: indices, the name of a token, or the centre (None, "centre")."""


def place_of(at: Sequence[int] | str | None) -> Place:
    """Return the place that an argument `at` stands for."""
    return at if at is None or isinstance(at, str) else tuple(int(index) for index in at)


def position_of(network: Network, shapes: Shapes, path: str, at: Place) -> tuple[NDArray[np.int32], ...]:
    """Return a position as an argument of a form; empty for the centre of a layer without tokens."""
    layer, sides = network.layers[path], tuple(shapes[path][:-1])
    tokens = layer.tokens if len(sides) == 1 and layer.shape == tuple(shapes[path]) else None
    if at is None or at == "centre":
        # The middle token is not at the centre of the image if there are special tokens in front of the patches.
        return () if tokens is None else (np.asarray([tokens.index(*(side // 2 for side in tokens.grid))], np.int32),)
    if isinstance(at, str):
        if tokens is None or at not in tokens.prefix:
            names = "" if tokens is None else "".join(f", {name!r}" for name in dict.fromkeys(tokens.prefix))
            raise InvalidParameter(
                "at",
                allowed=f"'centre'{names} or a position in {path!r}",
                received=at,
                fix="net.layers shows the tokens of each layer; name them with ph.wrap(..., tokens=...).",
            )
        return (np.asarray([tokens.prefix.index(at)], np.int32),)
    if tokens is not None and len(at) == 2:
        sides, offset = tokens.grid, tokens
    else:
        offset = None
    if len(at) != len(sides) or any(not 0 <= index < side for index, side in zip(at, sides, strict=True)):
        limits = " x ".join(str(side) for side in sides) or "no"
        raise InvalidParameter(
            "at",
            allowed=f"a position in {path!r}, which has {limits} positions at this size",
            received=at,
            fix="Leave `at` out for the centre.",
        )
    return (np.asarray(at if offset is None else [offset.index(*at)], np.int32),)


def place_text(at: Place) -> str:
    """Describe a position, for titles."""
    if at is None:
        return "centre"
    return at if isinstance(at, str) else ", ".join(str(index) for index in at)
