"""A model's interface: the images it takes, how it is called, and which part of its output holds the logits."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.types import Floats, Size

__all__ = ["FITS", "LARGEST_SIDE", "InputSpec", "Interface", "pair_of"]

FITS = ("crop", "pad", "stretch")
"""The rules by which pictures and files are fitted to the input of a network."""

LARGEST_SIDE = 1 << 14
"""Largest side of a picture in pixels: a larger one does not fit into memory, several times over."""


def pair_of(name: str, size: Any, *, minimum: int = 1) -> Size:
    """Check a height and a width in pixels, or one integer for both.

    Raises
    ------
    InvalidParameter
        For anything but an integer from `minimum` to `LARGEST_SIDE`, or two of them.
    """
    pair: tuple[Any, ...] = ()
    if isinstance(size, (int, np.integer)):
        pair = (size, size)
    elif isinstance(size, (tuple, list)) or (isinstance(size, np.ndarray) and size.ndim == 1):
        pair = tuple(size[:3])
    whole = len(pair) == 2 and all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in pair)
    pair = tuple(map(int, pair)) if whole else ()  # subclasses may compare otherwise
    if not pair or min(pair) < minimum:
        raise InvalidParameter(
            name,
            allowed=f"pixels: an integer of at least {minimum}, or (height, width)",
            received=size,
            fix=f"For example {name}=96.",
        )
    if max(pair) > LARGEST_SIDE:
        raise InvalidParameter(
            name, allowed=f"at most {LARGEST_SIDE} pixels per side", received=size, fix=f"For example {name}=224."
        )
    return pair[0], pair[1]


@dataclass(frozen=True)
class InputSpec:
    """The images a model takes, and how an image in [0, 1] is normalised for it.

    Attributes
    ----------
    size : (int, int)
        The model's native input size (height, width) in pixels.
    channels : int, default 3
        Number of channels of an image.
    range : (float, float), default (0, 1)
        Values to which 0 and 1 are mapped before `mean` and `std` apply; ``(0, 255)`` for a model that takes bytes.
    mean, std : tuple of float, default (0,) and (1,)
        One value per channel, or one for all, in units of `range`. The model sees ``(x - mean) / std``.
    kind : str, default "image"
        ``"image"``, ``"signal"`` or ``"tokens"``.
    frozen : tuple of int, default ()
        Channels that gradient ascent leaves unchanged.
    fit : {"crop", "pad", "stretch"}, default "crop"
        How pictures and files of another size or aspect ratio are fitted to `size`.
    fraction : float, default 1
        Share of the sides of the central part that "crop" keeps, in (0, 1].
    """

    size: Size
    channels: int = 3
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    kind: str = "image"
    frozen: tuple[int, ...] = ()
    fit: str = "crop"
    fraction: float = 1.0

    def __post_init__(self) -> None:
        self._check_types()
        size = self.size
        if len(size) != 2 or any(side < 1 for side in size):
            raise InvalidParameter(
                "size",
                allowed="two positive integers (height, width)",
                received=size,
                fix="For example size=(224, 224).",
            )
        if self.channels < 1:
            raise InvalidParameter(
                "channels", allowed="at least 1", received=self.channels, fix="RGB images have 3 channels."
            )
        if not self.range[0] < self.range[1]:
            raise InvalidParameter(
                "range", allowed="(low, high) with low < high", received=self.range, fix="For example range=(0, 1)."
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise InvalidParameter(
                    name,
                    allowed=f"1 or {self.channels} numbers",
                    received=values,
                    fix="Give one number per channel, or one for all channels.",
                )
        if any(value <= 0 for value in self.std):
            raise InvalidParameter("std", allowed="positive numbers", received=self.std, fix="std=1 does not scale.")
        if any(not 0 <= index < self.channels for index in self.frozen):
            raise InvalidParameter(
                "frozen",
                allowed=f"channels 0 to {self.channels - 1}",
                received=self.frozen,
                fix="Channels are counted from 0.",
            )
        if not isinstance(self.fit, str) or str(self.fit) not in FITS:
            raise InvalidParameter(
                "fit",
                allowed="'crop', 'pad' or 'stretch'",
                received=self.fit,
                fix="The default is 'crop', which keeps the central part of the input's aspect ratio.",
            )
        share = _plain(self.fraction, float)
        if share is None or not 0 < share <= 1:
            raise InvalidParameter(
                "fraction",
                allowed="a number above 0 and at most 1",
                received=self.fraction,
                fix="For example fraction=0.875, if images are resized to 256 pixels and the central 224 are cut out.",
            )
        object.__setattr__(self, "fraction", share)
        if not isinstance(self.kind, str) or str(self.kind) not in ("image", "signal", "tokens"):
            raise InvalidParameter(
                "kind", allowed="'image', 'signal' or 'tokens'", received=self.kind, fix="kind='image' is for pictures."
            )

    def _check_types(self) -> None:
        """Raise for a field of another type than it is declared with; numbers become those of Python."""
        for name, kind, allowed, example in (
            ("size", int, "two positive integers (height, width)", (224, 224)),
            ("range", float, "(low, high) with low < high", (0.0, 1.0)),
            ("mean", float, "finite numbers", (0.5,)),
            ("std", float, "finite numbers", (0.25,)),
            ("frozen", int, "indices of channels", (3,)),
        ):
            values = getattr(self, name)
            plain = [_plain(value, kind) for value in values] if isinstance(values, (tuple, list)) else [None]
            if None in plain:
                raise InvalidParameter(name, allowed=allowed, received=values, fix=f"For example {name}={example}.")
            object.__setattr__(self, name, tuple(plain))
        channels = _plain(self.channels, int)
        if channels is None:
            raise InvalidParameter(
                "channels",
                allowed="an integer of at least 1",
                received=self.channels,
                fix="RGB images have 3 channels.",
            )
        object.__setattr__(self, "channels", channels)
        if len(self.range) != 2:
            raise InvalidParameter(
                "range", allowed="(low, high) with low < high", received=self.range, fix="For example range=(0, 1)."
            )

    def affine(self) -> tuple[Floats, Floats]:
        """Return scale and offset, each ``(C,)``, such that the model sees ``images * scale + offset``."""
        low, high = self.range
        mean = np.broadcast_to(np.asarray(self.mean, np.float64), (self.channels,))
        std = np.broadcast_to(np.asarray(self.std, np.float64), (self.channels,))
        return (high - low) / std, (low - mean) / std


def _plain(value: Any, kind: type[int] | type[float]) -> int | float | None:
    """A finite number as one of Python's, None for all else; booleans are no numbers here, and fractions no integers."""
    kinds: tuple[Any, ...] = (int, np.integer) if kind is int else (int, np.integer, float, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return None
    try:
        found = kind(value)
        return found if abs(float(found)) < float("inf") else None
    except OverflowError:
        return None


@dataclass(frozen=True)
class Interface:
    """How a model is called and read, as stated by the user where it cannot be found automatically.

    Attributes
    ----------
    inputs : mapping or callable, optional
        Further arguments of the model. A mapping gives constants by name, either for one image (an array without a batch axis)
        or for all (a number or a flag); the images go to the first argument that is not in the mapping. A callable ``f(x)``
        returns all arguments, as a tuple or a mapping, from the normalised images in the model's layout.
    output : str, int or callable, optional
        The part of the return value that is the layer ``output``: a key or attribute, an index into a tuple, or a function of
        the return value (default: found automatically if it is unambiguous).
    channel_axis : mapping of str to int, optional
        Channel axes by layer path or glob pattern, in the model's layout, counting the batch axis.
    """

    inputs: Mapping[str, Any] | Callable[[Any], Any] | None = None
    output: str | int | Callable[[Any], Any] | None = None
    channel_axis: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.inputs is None or callable(self.inputs) or isinstance(self.inputs, Mapping)):
            raise InvalidParameter(
                "inputs",
                allowed="a mapping of further arguments or a function of the images",
                received=self.inputs,
                fix='For example inputs={"input_ids": tokens}.',
            )
        if isinstance(self.output, bool) or not (
            self.output is None or callable(self.output) or isinstance(self.output, (str, int))
        ):
            raise InvalidParameter(
                "output",
                allowed="a key, an index into a tuple, or a function of the model's return value",
                received=self.output,
                fix='For example output="logits" or output=0.',
            )
        for path, axis in self.channel_axis.items():
            if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
                raise InvalidParameter(
                    f"channel_axis[{path!r}]",
                    allowed="an axis other than 0, which is the batch axis",
                    received=axis,
                    fix="Use 1 for channel-first and -1 for channel-last layers.",
                )

    def axis_of(self, *paths: str) -> int | None:
        """Return the stated channel axis of the first of `paths` that has one, by exact path first, then by glob."""
        for path in paths:
            if path in self.channel_axis:
                return self.channel_axis[path]
        for path in paths:
            for pattern, axis in self.channel_axis.items():
                if fnmatch.fnmatchcase(path, pattern):
                    return axis
        return None
