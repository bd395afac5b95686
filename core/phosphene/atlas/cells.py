"""What a grid is: levels of cells, the members of each, and the groups into which those that mix directions were taken apart."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.types import Floats

__all__ = ["Frame", "Grid", "Level"]


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is the map.

    Attributes
    ----------
    low, high : (2,)
        Its corners; each axis has a scale of its own.
    """

    low: Floats
    high: Floats

    def unit(self, points: NDArray[np.floating]) -> Floats:
        """Points ``(N, 2)`` with the frame as the half-open unit square."""
        found: Floats = (np.asarray(points, np.float64) - self.low) / (self.high - self.low)
        return found


@dataclass(frozen=True)
class Level:
    """The cells of one level that are not empty.

    A cell's members are one run of `members`, and so are those of each of its groups: the parts of a cell that was taken apart,
    or the cell itself where it was not.

    Attributes
    ----------
    size : int
        Cells along a side.
    cells : (M, 2) int32
        Row (of the second coordinate, from the smallest on) and column (of the first), in the order of rows.
    counts : (M,) int64
        Members.
    kept : (M,) bool
        Which have enough of them.
    means : (M, C) float32
        Mean activation.
    concentration : (M,) float64
        Mean cosine of the members to that mean.
    cell_of : (N,) int32
        Which cell each point is in; -1 for outliers.
    members : (n,) int64
        Numbers of the points, group after group, cell after cell.
    group_starts : (G + 1,) int64
        Where each group begins in `members`, and the end.
    group_cells : (G,) int32
        Which cell each group is of.
    group_means : (G, C) float32
    group_concentration : (G,) float64
        As of the cells.
    """

    size: int
    cells: NDArray[np.int32]
    counts: NDArray[np.int64]
    kept: NDArray[np.bool_]
    means: NDArray[np.float32]
    concentration: Floats
    cell_of: NDArray[np.int32]
    members: NDArray[np.int64]
    group_starts: NDArray[np.int64]
    group_cells: NDArray[np.int32]
    group_means: NDArray[np.float32]
    group_concentration: Floats

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each cell begins in `members`, and the end: ``(M + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def members_of(self, cell: int) -> NDArray[np.int64]:
        """Numbers of the points in a cell."""
        starts = self.starts
        return self.members[starts[cell] : starts[cell + 1]]

    def members_of_group(self, group: int) -> NDArray[np.int64]:
        """Numbers of the points in a group."""
        return self.members[self.group_starts[group] : self.group_starts[group + 1]]


@dataclass(frozen=True)
class Grid:
    """A map in cells.

    Attributes
    ----------
    frame : Frame
    points : (N, 2) float64
        In the frame as the unit square; outliers lie outside.
    outliers : (N,) bool
        They are in no cell: piled into those at the border they would be means of what has nothing in common.
    levels : tuple of Level
        Coarse to fine.
    """

    frame: Frame
    points: Floats
    outliers: NDArray[np.bool_]
    levels: tuple[Level, ...]

    def level(self, size: int) -> Level:
        """The level with so many cells along a side."""
        for level in self.levels:
            if level.size == size:
                return level
        raise InvalidParameter(
            "size", allowed=" or ".join(str(level.size) for level in self.levels), received=size, fix="They were cut."
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, for a file."""
        found: dict[str, NDArray[Any]] = {
            "frame": np.stack([self.frame.low, self.frame.high]), "points": self.points, "outliers": self.outliers,
            "levels": np.array([level.size for level in self.levels]),
        }  # fmt: skip
        for level in self.levels:
            found |= {f"{level.size}.{each.name}": getattr(level, each.name) for each in fields(Level)[1:]}
        return found

    @staticmethod
    def of(arrays: Any) -> Grid:
        """What `arrays` gave."""
        levels = [
            Level(int(size), *(arrays[f"{size}.{each.name}"] for each in fields(Level)[1:]))
            for size in arrays["levels"]
        ]
        return Grid(Frame(*arrays["frame"]), arrays["points"], arrays["outliers"], tuple(levels))
