"""What icons are: pictures of the groups of a level, and figures that say how well each shows its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.splitting import directions
from phosphene.types import Floats

__all__ = ["Icons", "groups_of", "icons_of", "step_name"]

BLOCK = 2048
"""Icons whose cosines to all groups are held at once."""


@dataclass(frozen=True)
class Icons:
    """Icons of one level, a row a group that has one.

    Attributes
    ----------
    size : int
        The level: cells along a side.
    groups : (G,) int64
        Numbers of the groups in `Level`.
    images : (G, H, W, C) uint8
    fidelity : (G,) float64
        Cosine between the activation read again from the clean image, at its central position, and the group's mean.
    length : (G,) float64
        Length of that activation over the length of the mean.
    rank : (G,) int64
        Place of the own group among all of the level that have icons, by the cosine of their means to that activation: 1 is
        nearest, 0 is where no activation was read.
    evaluations : (G,) int32
        Gradient evaluations that it took, all tries together.
    tries : (G,) int32
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
    """Name of the step that holds a shard of icons."""
    return f"icons.{layer}.{size}.{shard:04d}"


def groups_of(level: Level) -> NDArray[np.int64]:
    """Groups that have an icon: those of cells with enough points, and with a mean to show."""
    shown = level.kept[level.group_cells] & np.any(level.group_means != 0, axis=1)
    return np.flatnonzero(shown)


def icons_of(level: Level, parts: Sequence[Mapping[str, NDArray[Any]]]) -> Icons:
    """Icons of a level from its shards, and what can be said of them."""
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
        level.size, groups, joined["images"], fidelity, np.linalg.norm(seen, axis=1) / np.where(lengths > 0, lengths, 1),
        rank, joined["evaluations"], joined["tries"],
    )  # fmt: skip


def _ranked(seen: Floats, means: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Cosine of each activation to its own mean, and the place of that among its cosines to all means."""
    fidelity, rank = np.empty(len(seen)), np.empty(len(seen), np.int64)
    for first in range(0, len(seen), BLOCK):
        rows = slice(first, first + BLOCK)
        cosines = seen[rows] @ means.T
        own = cosines[np.arange(len(cosines)), np.arange(first, first + len(cosines))]
        fidelity[rows] = own
        rank[rows] = np.where(np.isnan(own), 0, (cosines > own[:, None]).sum(axis=1) + 1)
    return fidelity, rank
