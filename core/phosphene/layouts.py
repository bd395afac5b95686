"""Track which axes of an array hold channels, as axes are moved, merged and split.

Each axis is a product of factors in memory order; each factor either is of channels or is not. So a transformer that splits its
channels into heads and channels per head, moves them apart and merges them again can be tracked throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Axis", "Layout"]

Axis: TypeAlias = tuple[tuple[int, bool], ...]
"""Factors of an axis: the size of each, and whether it consists of channels."""


@dataclass(frozen=True)
class Layout:
    """The factors of each axis of an array.

    Attributes
    ----------
    axes : tuple of Axis
    """

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, shape: Sequence[int], *channels: int) -> Layout:
        """The layout of an array of `shape` whose axes `channels` consist of channels."""
        marked = {axis % len(shape) for axis in channels}
        return cls(tuple(((int(side), axis in marked),) for axis, side in enumerate(shape)))

    @property
    def channel(self) -> int | None:
        """The channel axis; the last one if there are several (heads, and channels per head); never the first axis."""
        return next((axis for axis in reversed(range(1, len(self.axes))) if self.holds(axis)), None)

    def holds(self, axis: int) -> bool:
        """Whether any factor of an axis consists of channels."""
        return any(channel for _, channel in self.axes[axis])

    def picked(self, order: Sequence[int | None]) -> Layout:
        """The layout with axes in the given order; None inserts a new axis of length 1."""
        return Layout(tuple(((1, False),) if axis is None else self.axes[axis] for axis in order))

    def marked(self, axis: int) -> Layout:
        """The layout in which one more axis consists of channels."""
        axes = list(self.axes)
        axes[axis] = ((_size(axes[axis]), True),)
        return Layout(tuple(axes))

    def resized(self, shape: Sequence[int]) -> Layout | None:
        """The layout after axes changed their lengths by slicing, padding, concatenation or repetition."""
        if len(shape) != len(self.axes):
            return None
        return Layout(tuple(_resized(axis, int(side)) for axis, side in zip(self.axes, shape, strict=True)))

    def stretched(self, shape: Sequence[int]) -> Layout | None:
        """The layout after broadcasting to `shape`: axes aligned to the right, behind new ones."""
        new = len(shape) - len(self.axes)
        return self.picked([*(None,) * new, *range(len(self.axes))]).resized(shape) if new >= 0 else None

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """The layout after a reshape; None if it would split a factor of channels unevenly, or if there are no values."""
        if 0 in shape:
            return None
        rest = _runs([factor for axis in self.axes for factor in axis])
        axes: list[Axis] = []
        for side in shape:
            taken: list[tuple[int, bool]] = []
            need = int(side)
            while need > 1:
                if not rest:
                    return None
                size, channel = rest.pop()
                part = min(need, size)
                if need % part or size % part:
                    return None
                taken.append((part, channel))
                need //= part
                if size > part:
                    rest.append((size // part, channel))
            # A single head in front of its channels is still an axis of heads.
            axes.append(tuple(taken) or ((int(side), bool(axes) and bool(rest) and rest[-1][1]),))
        single = self._single(shape)
        return Layout(tuple(axes)) if single is None else Layout(tuple(axes)).marked(single)

    def _single(self, shape: Sequence[int]) -> int | None:
        """The new axis of a single channel: the last one of length 1 with as many values in front of it as before."""
        axis = self.channel
        if axis is None or _size(self.axes[axis]) != 1:
            return None
        front = _product(self.axes[:axis])
        before, found = 1, None
        for place, side in enumerate(shape):
            if place and side == 1 and before == front:
                found = place
            before *= int(side)
        return found


def _size(axis: Axis) -> int:
    return _product((axis,))


def _product(axes: Sequence[Axis]) -> int:
    result = 1
    for axis in axes:
        for size, _ in axis:
            result *= size
    return result


def _resized(axis: Axis, side: int) -> Axis:
    return axis if _size(axis) == side else ((side, any(channel for _, channel in axis)),)


def _runs(factors: Sequence[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """Multiply neighbouring factors of one kind and drop lengths of 1; reversed, so that the first can be popped."""
    runs: list[tuple[int, bool]] = []
    for size, channel in factors:
        if size != 1:
            same = bool(runs) and runs[-1][1] == channel
            runs[-1:] = [(runs[-1][0] * size, channel)] if same else [*runs[-1:], (size, channel)]
    return runs[::-1]
