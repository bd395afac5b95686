"""The groups of the shown cells: their icons, fidelity and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import Level
from phosphene.atlas.icon_set import Icons
from phosphene.atlas.labels import Labels

__all__ = ["Groups", "group_columns"]

MOST = 4
"""Maximum number of groups shown per cell, largest first."""


@dataclass
class Groups:
    """Groups sorted by cell and size, largest first.

    Attributes
    ----------
    numbers : (n,) int64
        Indices of the groups in `Level`.
    owners : (n,) int64
        Index of the shown cell of each group.
    icons : (n,) int64
        Row in `Icons`; -1 without an icon.
    names : tuple of str
        Names of the classes of the labels.
    columns : dict of str to numpy.ndarray
        Data of the groups for the page.
    """

    numbers: NDArray[np.int64]
    owners: NDArray[np.int64]
    icons: NDArray[np.int64]
    names: tuple[str, ...]
    columns: dict[str, NDArray[Any]]


def group_columns(level: Level, cells: NDArray[np.int64], icons: Icons | None, labels: Labels | None) -> Groups:
    """The groups of the cells; those with an icon come before those without."""
    sizes = np.diff(level.group_starts)
    place = np.full(len(level.counts), -1, np.int64)
    place[cells] = np.arange(len(cells))
    owner = place[level.group_cells]
    row = np.full(len(sizes), -1, np.int64)
    if icons is not None:
        row[icons.groups] = np.arange(len(icons))
    order = np.lexsort((np.arange(len(sizes)), -sizes, row < 0, owner))
    order = order[owner[order] >= 0]
    counts = np.bincount(owner[order], minlength=len(cells))
    starts = np.concatenate([[0], np.cumsum(counts)])
    rank = np.arange(len(order)) - np.repeat(starts[:-1], counts)
    order = order[rank < MOST]
    starts = np.concatenate([[0], np.cumsum(np.minimum(counts, MOST))])
    chosen = row[order]
    columns: dict[str, NDArray[Any]] = {
        "groups": starts.astype(np.uint32),
        "group.count": sizes[order].astype(np.uint32),
        "group.fidelity": _of_icons(icons, chosen, "fidelity"),
        "group.rank": _of_icons(icons, chosen, "rank").clip(0, 65535).astype(np.uint16),
    }
    names: tuple[str, ...] = ()
    if labels is not None:
        names = labels.names
        columns |= {
            "group.class": labels.classes[order].astype(np.uint16),
            "group.evidence": labels.evidence[order].astype(np.float32),
            "group.margin": labels.margin[order].astype(np.float32),
            "group.interval": labels.interval[order].astype(np.float32),
            "group.claimed": labels.claimed[order].astype(np.uint8),
            "group.purity": labels.purity[order].astype(np.float32),
        }
    return Groups(order, owner[order], chosen, names, columns)


def _of_icons(icons: Icons | None, rows: NDArray[np.int64], name: str) -> NDArray[np.float32]:
    """A figure of the icons; NaN (for ranks: 0) for groups without one."""
    found = np.full(len(rows), np.nan if name == "fidelity" else 0, np.float32)
    if icons is not None:
        found[rows >= 0] = getattr(icons, name)[rows[rows >= 0]]
    return found
