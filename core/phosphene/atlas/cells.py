"""The cells of a map at several levels, their members, and the groups of cells that were split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.kit.checks import listed
from phosphene.kit.records import rebuilt
from phosphene.types import Floats

__all__ = ["Frame", "Grid", "Level", "level_missing", "within"]


@dataclass(frozen=True)
class Frame:
    """The part of the plane that the map covers.

    Attributes
    ----------
    low, high : (2,)
        Its corners; the axes are scaled independently.
    """

    low: Annotated[Floats, "2"]
    high: Annotated[Floats, "2"]

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
    cells: Annotated[NDArray[np.int32], "M 2"]
    counts: Annotated[NDArray[np.int64], "M"]
    kept: Annotated[NDArray[np.bool_], "M"]
    means: Annotated[NDArray[np.float32], "M C"]
    concentration: Annotated[Floats, "M"]
    cell_of: Annotated[NDArray[np.int32], "N"]
    members: Annotated[NDArray[np.int64], "n"]
    group_starts: Annotated[NDArray[np.int64], "_"]
    group_cells: Annotated[NDArray[np.int32], "G"]
    group_means: Annotated[NDArray[np.float32], "G C"]
    group_concentration: Annotated[Floats, "G"]

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
    points: Annotated[Floats, "N 2"]
    outliers: Annotated[NDArray[np.bool_], "N"]
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
        """The inverse of `arrays`.

        Raises
        ------
        ValueError
            For arrays of other names, types and shapes, and indices of cells, groups and points that do not exist.
        """
        sizes = [int(size) for size in arrays["levels"]]
        low, high = arrays["frame"]
        named = {name: array for name, array in arrays.items() if name not in ("frame", "levels")}
        made = rebuilt(
            Grid,
            {
                "frame": {"low": "low", "high": "high"},
                "points": "points",
                "outliers": "outliers",
                "levels": [
                    {"size": size, **{each.name: f"{size}.{each.name}" for each in fields(Level)[1:]}} for size in sizes
                ],
            },
            {**named, "low": low, "high": high},
        )
        for level in made.levels:
            _check(level, len(made.points))
        return made


def _check(level: Level, points: int) -> None:
    """Raise ValueError unless the indices of a level are those of its cells, groups and points."""
    starts = level.group_starts
    rising = len(starts) == len(level.group_cells) + 1 and not starts[0] and starts[-1] == len(level.members)
    fitting = (
        rising
        and bool(np.all(np.diff(starts) >= 0))
        and len(level.cell_of) == points
        and level.counts.sum() == len(level.members)
        and within(level.counts, 0, points)
        and within(level.cells, 0, level.size - 1)
        and within(level.cell_of, -1, len(level.cells) - 1)
        and within(level.members, 0, points - 1)
        and within(level.group_cells, 0, len(level.cells) - 1)
    )
    if not fitting:
        raise ValueError(f"the level of {level.size} cells per side has cells, groups or members that do not exist")


def within(indices: NDArray[Any], low: int, high: int) -> bool:
    """Whether all of these are from `low` to `high`."""
    return not indices.size or bool(indices.min() >= low and indices.max() <= high)


def level_missing(sizes: Sequence[int], size: object) -> InvalidParameter:
    """The error for a level that a map does not have."""
    known = listed(sizes)
    fix = "Choose a level of the map, or build an atlas with further levels."
    return InvalidParameter("size", allowed=f"a level of {known} cells per side", received=size, fix=fix)
