"""Positions in a layer, checked against the layer's shape and tokens; the shapes of layers at one size of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network, native
from phosphene.errors import InvalidParameter, ModelFailed
from phosphene.kit.checks import integers
from phosphene.types import Size

__all__ = ["Place", "Shapes", "ShapesAt", "place_of", "place_text", "position_of"]

Shapes = Mapping[str, tuple[int, ...]]

LARGEST_INDEX = 2**31 - 1
"""Largest index of a position, an integer that every framework takes."""

Place = tuple[int, ...] | str | None
"""A position in a layer: indices, the name of a token, or the centre (None, "centre")."""


class ShapesAt(Mapping[str, tuple[int, ...]]):
    """Channel-last shapes of the layers that a network has for images of one size.

    A network may fail at another size than its own in a layer that nobody asked for, such as a head of fixed size. The layers
    before it can be used; asking for another one raises what the model raised.

    Parameters
    ----------
    network : Network
    size : (int, int)
        Height and width of the images in pixels.
    """

    def __init__(self, network: Network, size: Size) -> None:
        self.network, self.size = network, size

    @cached_property
    def known(self) -> Shapes:
        """The shapes that are known.

        Raises
        ------
        ModelFailed
            If the model does not run at this size at all.
        """
        return self.network.shapes(self.size)

    def __getitem__(self, path: str) -> tuple[int, ...]:
        layer = self.network.layers[path]  # raises UnknownLayer with the nearest names
        if path in self.known:
            return tuple(self.known[path])
        if self.size == self.network.input.size:
            return layer.shape
        raise self.failure(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def failure(self, path: str) -> ModelFailed:
        """Return the error for a layer that the network does not have at this size, with what the model raised."""
        network, (height, width) = self.network, self.size
        cause: ModelFailed | None = None
        grey = np.full((1, height, width, network.input.channels), 0.5)
        try:
            with network.scope():
                network.forward(native(network, grey), [path])
        except ModelFailed as error:
            cause = error
        own = " x ".join(map(str, network.input.size))
        failed = ModelFailed(
            f"layer {path!r} cannot be computed from images of {height} x {width} pixels"
            + (f": {cause}" if cause is not None else f" by {network.name}.")
            + f" Use the network's own size, {own}, or an earlier layer."
        )
        failed.__cause__ = cause
        return failed


def place_of(at: int | Sequence[int] | str | None) -> Place:
    """Return the place that an argument `at` stands for; one integer is the position on a single axis.

    Raises
    ------
    InvalidParameter
        If it is neither indices nor a name.
    """
    if at is None or isinstance(at, str):
        return at
    return integers(
        "at",
        at,
        limit=LARGEST_INDEX,
        fix='For example at=(2, 3) for row 2 and column 3, at=5 for one axis of positions, or at="centre".',
    )


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
            fix=f"Give {_counted(len(sides))}, or leave `at` out for the centre." if sides else "Leave `at` out.",
        )
    return (np.asarray(at if offset is None else [offset.index(*at)], np.int32),)


def _counted(axes: int) -> str:
    return {1: "one integer, such as at=0", 2: "row and column, such as at=(0, 0)"}.get(axes, f"{axes} integers")


def place_text(at: Place) -> str:
    """Describe a position, for titles."""
    if at is None:
        return "centre"
    return at if isinstance(at, str) else ", ".join(str(index) for index in at)
