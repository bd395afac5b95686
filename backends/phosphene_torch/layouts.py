"""Where the channels of a tensor are, as its axes are moved, merged and split.

Each axis is a product of factors, of channels or of something else, in the order in which they lie in memory. So a transformer
that splits its channels into heads and parts of a head, moves them apart and merges them again is followed all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Axis", "Layout"]

Axis: TypeAlias = tuple[tuple[int, bool], ...]
"""Factors of an axis: the size of each, and whether it is of channels."""


@dataclass(frozen=True)
class Layout:
    """What the axes of a tensor are made of.

    Attributes
    ----------
    axes : tuple of Axis
    """

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, shape: Sequence[int], *channels: int) -> Layout:
        """That of a tensor with whole axes of channels, counted from either end."""
        marked = {axis % len(shape) for axis in channels}
        return cls(tuple(((int(side), axis in marked),) for axis, side in enumerate(shape)))

    @property
    def channel(self) -> int | None:
        """The axis of channels: the last one, where there are several (heads, and channels of a head); never the first."""
        return next((axis for axis in reversed(range(1, len(self.axes))) if self.holds(axis)), None)

    def holds(self, axis: int) -> bool:
        """Whether an axis is of channels, wholly or in part."""
        return any(channel for _, channel in self.axes[axis])

    def picked(self, order: Sequence[int | None]) -> Layout:
        """The axes of these numbers, in this order; None is a new axis of length 1."""
        return Layout(tuple(((1, False),) if axis is None else self.axes[axis] for axis in order))

    def marked(self, axis: int) -> Layout:
        """The same with all of one axis for channels, besides those that are."""
        axes = list(self.axes)
        axes[axis] = ((_size(axes[axis]), True),)
        return Layout(tuple(axes))

    def resized(self, shape: Sequence[int]) -> Layout | None:
        """The same axes, as many, with other lengths: sliced, padded, joined, repeated."""
        if len(shape) != len(self.axes):
            return None
        return Layout(tuple(_resized(axis, int(side)) for axis, side in zip(self.axes, shape, strict=True)))

    def stretched(self, shape: Sequence[int]) -> Layout | None:
        """As after broadcasting: the same axes, aligned to the right, behind new ones."""
        new = len(shape) - len(self.axes)
        return self.picked([*(None,) * new, *range(len(self.axes))]).resized(shape) if new >= 0 else None

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """The same values in the same order, in other axes; None where channels and others would be torn apart."""
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
            # One head, in front of its channels, is still an axis of heads.
            axes.append(tuple(taken) or ((int(side), bool(axes) and bool(rest) and rest[-1][1]),))
        single = self._single(shape)
        return Layout(tuple(axes)) if single is None else Layout(tuple(axes)).marked(single)

    def _single(self, shape: Sequence[int]) -> int | None:
        """Where channels that are only one went: to the last axis of length 1 with as much in front of it as before."""
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
    """Neighbours of one kind multiplied, lengths of 1 left out; the first at the end, to be popped."""
    runs: list[tuple[int, bool]] = []
    for size, channel in factors:
        if size != 1:
            same = bool(runs) and runs[-1][1] == channel
            runs[-1:] = [(runs[-1][0] * size, channel)] if same else [*runs[-1:], (size, channel)]
    return runs[::-1]
