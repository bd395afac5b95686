"""The icons of a level: a picture of each group, and measures of how faithful it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level, within
from phosphene.atlas.partition import directions
from phosphene.kit.records import from_arrays
from phosphene.types import Floats

__all__ = ["Icons", "groups_of", "icons_from", "icons_of", "step_name"]

BLOCK = 2048
"""Number of icons whose cosines to all groups are held at once."""


@dataclass(frozen=True)
class Icons:
    """Icons of one level, one row per group with an icon.

    Attributes
    ----------
    size : int
        The level: cells per side.
    groups : (G,) int64
        Indices of the groups in `Level`.
    images : (G, H, W, C) uint8
    fidelity : (G,) float64
        Cosine between the group's mean and the activation of the icon at its central position, without transforms.
    length : (G,) float64
        Norm of that activation relative to the norm of the mean.
    rank : (G,) int64
        Rank of the icon's own group among all groups with icons, by the cosine of their means to that activation: 1 is
        nearest, 0 if the activation is not known.
    evaluations : (G,) int32
        Gradient evaluations over all tries.
    tries : (G,) int32
        Number of tries.
    """

    size: int
    groups: NDArray[np.int64]
    images: NDArray[np.uint8]
    fidelity: Floats
    length: Floats
    rank: NDArray[np.int64]
    evaluations: NDArray[np.int32]
    tries: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        if not len(self):
            return f"Icons(level {self.size}, none)"
        return (
            f"Icons(level {self.size}, {len(self):,} of {'x'.join(map(str, self.images.shape[1:3]))}, fidelity "
            f"{np.median(self.fidelity):.3f}, own group nearest in {np.mean(self.rank == 1):.0%}, {np.median(self.evaluations):g} "
            "evaluations)"
        )


def step_name(layer: str, size: int, shard: int) -> str:
    """Name of the step of a shard of icons."""
    return f"icons.{layer}.{size}.{shard:04d}"


def groups_of(level: Level) -> NDArray[np.int64]:
    """Indices of the groups that get an icon: those of kept cells, with a mean other than zero."""
    shown = level.kept[level.group_cells] & np.any(level.group_means != 0, axis=1)
    return np.flatnonzero(shown)


def icons_of(level: Level, parts: Sequence[Mapping[str, NDArray[Any]]]) -> Icons:
    """Join the shards of a level, and compute the measures of its icons."""
    if not parts:
        nothing = np.zeros(0)
        whole, few = nothing.astype(np.int64), nothing.astype(np.int32)
        return Icons(level.size, whole, np.zeros((0, 1, 1, 1), np.uint8), nothing, nothing, whole, few, few)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    groups = joined["groups"]
    means, seen = level.group_means[groups].astype(np.float64), joined["activations"].astype(np.float64)
    fidelity, rank = _ranked(directions(seen), directions(means))
    lengths = np.linalg.norm(means, axis=1)
    return Icons(
        level.size,
        groups,
        joined["images"],
        fidelity,
        np.linalg.norm(seen, axis=1) / np.where(lengths > 0, lengths, 1),
        rank,
        joined["evaluations"],
        joined["tries"],
    )


def icons_from(level: Level, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """The arrays of a shard of icons, if they are those of groups of this level.

    Raises
    ------
    ValueError
        For arrays of other names, types and shapes, and groups that do not exist.
    """
    made = from_arrays(_Shard, arrays)
    if (
        not within(made.groups, 0, len(level.group_means) - 1)
        or made.activations.shape[1] != level.group_means.shape[1]
    ):
        raise ValueError("its groups or channels are not those of the level")
    return arrays


@dataclass(frozen=True)
class _Shard:
    """Icons as a step keeps them; see `Icons`."""

    groups: Annotated[NDArray[np.int64], "G"]
    images: Annotated[NDArray[np.uint8], "G H W C"]
    activations: Annotated[NDArray[np.float32], "G channels"]
    evaluations: Annotated[NDArray[np.int32], "G"]
    tries: Annotated[NDArray[np.int32], "G"]


def _ranked(seen: Floats, means: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Cosine of each activation to the mean of its own group, and the rank of that among the cosines to all means."""
    fidelity, rank = np.empty(len(seen)), np.empty(len(seen), np.int64)
    for first in range(0, len(seen), BLOCK):
        rows = slice(first, first + BLOCK)
        cosines = seen[rows] @ means.T
        own = cosines[np.arange(len(cosines)), np.arange(first, first + len(cosines))]
        fidelity[rows] = own
        rank[rows] = np.where(np.isnan(own), 0, (cosines > own[:, None]).sum(axis=1) + 1)
    return fidelity, rank
