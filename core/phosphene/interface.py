"""What a model takes and returns: its images, how it is called with them, and which part of its output is the logit."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.types import Floats, Size

__all__ = ["InputSpec", "Interface"]


@dataclass(frozen=True)
class InputSpec:
    """What a model takes, and how an image in [0, 1] becomes it.

    Attributes
    ----------
    size : (int, int)
        Height and width in pixels at which the model is at home.
    channels : int, default 3
        Channels of an image.
    range : (float, float), default (0, 1)
        Values to which 0 and 1 are mapped before `mean` and `std`: ``(0, 255)`` for a model fed with bytes.
    mean, std : tuple of float
        Per channel (or one for all), in units of `range`; the model sees ``(x - mean) / std``.
    kind : str, default "image"
        ``"image"``, ``"signal"`` or ``"tokens"``.
    frozen : tuple of int, default ()
        Channels that no ascent may change.
    """

    size: Size
    channels: int = 3
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    kind: str = "image"
    frozen: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        size = self.size
        if len(size) != 2 or any(not isinstance(side, int) or side < 1 for side in size):
            raise InvalidParameter(
                "size", allowed="two positive integers (height, width)", received=size, fix="Write size=(224, 224)."
            )
        if self.channels < 1:
            raise InvalidParameter("channels", allowed="at least 1", received=self.channels, fix="RGB images have 3.")
        if not self.range[0] < self.range[1]:
            raise InvalidParameter(
                "range", allowed="(low, high) with low < high", received=self.range, fix="Most models take (0, 1)."
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise InvalidParameter(
                    name, allowed=f"1 or {self.channels} numbers", received=values, fix="Give one number a channel."
                )
        if any(value <= 0 for value in self.std):
            raise InvalidParameter("std", allowed="positive numbers", received=self.std, fix="Use 1 for no scaling.")
        if any(isinstance(index, bool) or not 0 <= index < self.channels for index in self.frozen):
            raise InvalidParameter(
                "frozen", allowed=f"channels 0 to {self.channels - 1}", received=self.frozen, fix="Count from 0."
            )
        if self.kind not in ("image", "signal", "tokens"):
            raise InvalidParameter("kind", allowed="'image', 'signal' or 'tokens'", received=self.kind)

    def affine(self) -> tuple[Floats, Floats]:
        """Scale and offset ``(C,)`` such that ``images * scale + offset`` is what the model sees."""
        low, high = self.range
        mean = np.broadcast_to(np.asarray(self.mean, np.float64), (self.channels,))
        std = np.broadcast_to(np.asarray(self.std, np.float64), (self.channels,))
        return (high - low) / std, (low - mean) / std


@dataclass(frozen=True)
class Interface:
    """How a model is called and read, where that does not show: what its user has stated.

    Attributes
    ----------
    inputs : mapping, callable, or None
        Further arguments. A mapping gives constants by name, each for one image (without a batch axis) or for all (a number, a
        flag); images go to the first argument that is not among them. A callable ``f(x)`` makes all arguments, a tuple or a
        mapping, from the normalised images in the model's own layout.
    output : str, int, callable, or None
        Which part of what the model returns is the layer ``output``: a key or attribute, a place in a tuple, or a function of
        what was returned. None: found, where it is plain.
    channel_axis : mapping of str to int
        Channel axes by layer path or glob, in the model's own layout, batch axis counted.
    """

    inputs: Mapping[str, Any] | Callable[[Any], Any] | None = None
    output: str | int | Callable[[Any], Any] | None = None
    channel_axis: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.inputs is None or callable(self.inputs) or isinstance(self.inputs, Mapping)):
            raise InvalidParameter(
                "inputs", allowed="a mapping of further arguments, or a function of the images", received=self.inputs,
                fix='For example inputs={"input_ids": tokens}.',
            )  # fmt: skip
        if isinstance(self.output, bool) or not (
            self.output is None or callable(self.output) or isinstance(self.output, (str, int))
        ):
            raise InvalidParameter(
                "output", allowed="a key, a place in a tuple, or a function of what the model returns",
                received=self.output, fix='For example output="logits" or output=0.',
            )  # fmt: skip
        for path, axis in self.channel_axis.items():
            if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
                raise InvalidParameter(
                    f"channel_axis[{path!r}]", allowed="an axis other than 0, which is the batch", received=axis,
                    fix="1 for channel-first, -1 for channel-last.",
                )  # fmt: skip

    def axis_of(self, *paths: str) -> int | None:
        """The channel axis that was stated for the first of `paths` that is among them, exactly or by glob."""
        for path in paths:
            if path in self.channel_axis:
                return self.channel_axis[path]
        for path in paths:
            for pattern, axis in self.channel_axis.items():
                if fnmatch.fnmatchcase(path, pattern):
                    return axis
        return None
