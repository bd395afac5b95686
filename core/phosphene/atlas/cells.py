"""The cells of a map at several levels, their members, and the groups of cells that were split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.kit.checks import listed
from phosphene.types import Floats

__all__ = ["Frame", "Grid", "Level", "level_missing"]


@dataclass(frozen=True)
class Frame:
    """The part of the plane that the map covers.

    Attributes
    ----------
    low, high : (2,)
        Its corners; the axes are scaled independently.
    """

    low: Floats
    high: Floats

    def unit(self, points: NDArray[np.floating]) -> Floats:
        """Points ``(N, 2)`` in coordinates in which the frame is the half-open unit square."""
        found: Floats = (np.asarray(points, np.float64) - self.low) / (self.high - self.low)
        return found


@dataclass(frozen=True)
class Level:
    """The non-empty cells of one level.

    The members of a cell are contiguous in `members`, and so are those of each of its groups. The groups of a cell are the parts
    into which it was split; a cell that was not split is one group.

    Attributes
    ----------
    size : int
        Cells per side.
    cells : (M, 2) int32
        Row (along the second coordinate, ascending) and column (along the first), sorted by row.
    counts : (M,) int64
        Number of members.
    kept : (M,) bool
        Whether a cell has enough members.
    means : (M, C) float32
        Mean activation.
    concentration : (M,) float64
        Mean cosine of the members to that mean.
    cell_of : (N,) int32
        Cell of each point; -1 for outliers.
    members : (n,) int64
        Indices of the points, sorted by cell and group.
    group_starts : (G + 1,) int64
        Offset of each group in `members`, followed by the total.
    group_cells : (G,) int32
        Cell of each group.
    group_means : (G, C) float32
        Mean activation of each group.
    group_concentration : (G,) float64
        Mean cosine of the members to the group's mean.
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
        """Offset of each cell in `members`, followed by the total, ``(M + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def members_of(self, cell: int) -> NDArray[np.int64]:
        """Indices of the points in a cell."""
        starts = self.starts
        return self.members[starts[cell] : starts[cell + 1]]

    def members_of_group(self, group: int) -> NDArray[np.int64]:
        """Indices of the points in a group."""
        return self.members[self.group_starts[group] : self.group_starts[group + 1]]


@dataclass(frozen=True)
class Grid:
    """A map that is divided into cells at several levels.

    Attributes
    ----------
    frame : Frame
    points : (N, 2) float64
        Coordinates in which the frame is the unit square; outliers lie outside.
    outliers : (N,) bool
        Points outside the frame, which belong to no cell: assigned to border cells they would distort their means.
    levels : tuple of Level
        Coarse to fine.
    """

    frame: Frame
    points: Floats
    outliers: NDArray[np.bool_]
    levels: tuple[Level, ...]

    def level(self, size: int) -> Level:
        """The level with `size` cells per side."""
        for level in self.levels:
            if level.size == size:
                return level
        raise level_missing([level.size for level in self.levels], size)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as arrays by name, to be written to a file."""
        found: dict[str, NDArray[Any]] = {
            "frame": np.stack([self.frame.low, self.frame.high]),
            "points": self.points,
            "outliers": self.outliers,
            "levels": np.array([level.size for level in self.levels]),
        }
        for level in self.levels:
            found |= {f"{level.size}.{each.name}": getattr(level, each.name) for each in fields(Level)[1:]}
        return found

    @staticmethod
    def of(arrays: Any) -> Grid:
        """The inverse of `arrays`."""
        levels = [
            Level(int(size), *(arrays[f"{size}.{each.name}"] for each in fields(Level)[1:]))
            for size in arrays["levels"]
        ]
        return Grid(Frame(*arrays["frame"]), arrays["points"], arrays["outliers"], tuple(levels))


def level_missing(sizes: Sequence[int], size: object) -> InvalidParameter:
    """The error for a level that a map does not have."""
    known = listed(sizes)
    fix = "Choose a level of the map, or build an atlas with further levels."
    return InvalidParameter("size", allowed=f"a level of {known} cells per side", received=size, fix=fix)
