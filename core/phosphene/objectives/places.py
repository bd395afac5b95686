"""Where in a layer: what a person writes, held against the layer's positions and tokens."""

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
    """A place from what a person wrote."""
    return at if at is None or isinstance(at, str) else tuple(int(index) for index in at)


def position_of(network: Network, shapes: Shapes, path: str, at: Place) -> tuple[NDArray[np.int32], ...]:
    """The position as the argument of a form; nothing for the middle of a layer that has no tokens."""
    layer, sides = network.layers[path], tuple(shapes[path][:-1])
    tokens = layer.tokens if len(sides) == 1 and layer.shape == tuple(shapes[path]) else None
    if at is None or at == "centre":
        # The middle of a list of tokens is not that of the image: there may be others in front of the patches.
        return () if tokens is None else (np.asarray([tokens.index(*(side // 2 for side in tokens.grid))], np.int32),)
    if isinstance(at, str):
        if tokens is None or at not in tokens.prefix:
            names = "" if tokens is None else "".join(f", {name!r}" for name in dict.fromkeys(tokens.prefix))
            raise InvalidParameter(
                "at", allowed=f"'centre'{names} or a position in {path!r}", received=at,
                fix="net.layers shows the tokens of each layer; state them with ph.wrap(..., tokens=...).",
            )  # fmt: skip
        return (np.asarray([tokens.prefix.index(at)], np.int32),)
    if tokens is not None and len(at) == 2:
        sides, offset = tokens.grid, tokens
    else:
        offset = None
    if len(at) != len(sides) or any(not 0 <= index < side for index, side in zip(at, sides, strict=True)):
        limits = " x ".join(str(side) for side in sides) or "no"
        raise InvalidParameter(
            "at", allowed=f"a position in {path!r}, which has {limits} positions at this size", received=at,
            fix="Leave at=None for the centre.",
        )  # fmt: skip
    return (np.asarray(at if offset is None else [offset.index(*at)], np.int32),)


def place_text(at: Place) -> str:
    """A position in words, for titles."""
    if at is None:
        return "centre"
    return at if isinstance(at, str) else ", ".join(str(index) for index in at)
