"""Attribution by what changes when pixels go: occlusion, and the curves of deletion and insertion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.job import Computed, Job
from phosphene.errors import InvalidParameter
from phosphene.types import Floats, Size

__all__ = ["area", "curves", "occlusion"]

AT_ONCE = 256
"""Covered images that are made before they are run: it bounds the memory, not the batch."""


def occlusion(job: Job) -> Computed:
    """What the target loses when a window of the image is covered; `raw` is ``(N, rows, columns)``, one a window.

    A pixel's place in the map has the mean over the windows that cover it.
    """
    height, width = job.images.shape[1:3]
    window = _sides("window", job.options["window"], (height, width), (max(1, height // 8), max(1, width // 8)))
    stride = _sides("stride", job.options["stride"], window, window)
    rows, columns = _starts(height, window[0], stride[0]), _starts(width, window[1], stride[1])
    places = [(row, column) for row in rows for column in columns]
    values = job.values(job.images)
    lost = np.empty((len(job.images), len(places)))
    count = max(1, AT_ONCE // len(job.images))
    for start in range(0, len(places), count):
        chosen = places[start : start + count]
        covered = np.repeat(job.images[None], len(chosen), axis=0)
        for copy, (top, left) in zip(covered, chosen, strict=True):
            copy[:, top : top + window[0], left : left + window[1]] = job.options["baseline"]
        owners = np.tile(np.arange(len(job.images)), len(chosen))
        seen = job.values(covered.reshape(-1, *job.images.shape[1:]), owners).reshape(len(chosen), -1)
        lost[:, start : start + count] = values[:, None] - seen.T
    painted, covering = np.zeros(job.images.shape[:3]), np.zeros((height, width))
    for index, (top, left) in enumerate(places):
        painted[:, top : top + window[0], left : left + window[1]] += lost[:, index, None, None]
        covering[top : top + window[0], left : left + window[1]] += 1
    raw = lost.reshape(len(job.images), len(rows), len(columns))
    return Computed(raw, values, painted / covering)


def curves(job: Job, maps: NDArray[np.float32], steps: int = 16, baseline: float = 0.5) -> tuple[Floats, Floats]:
    """The target as pixels are covered, and as they are uncovered, most important first (Petsiuk et al. 2018).

    Returns
    -------
    deletion, insertion : numpy.ndarray (steps + 1, N)
        From the whole image to none of it, and from none to the whole.
    """
    count, pixels = len(maps), maps[0].size
    ranked = np.argsort(-maps.reshape(count, -1), axis=1, kind="stable")
    rank = np.empty_like(ranked)
    np.put_along_axis(rank, ranked, np.arange(pixels)[None], axis=1)
    rank = rank.reshape(maps.shape)
    deletion, insertion = np.empty((steps + 1, count)), np.empty((steps + 1, count))
    for step in range(steps + 1):
        gone = (rank < round(step / steps * pixels))[..., None]
        deletion[step] = job.values(np.where(gone, np.float32(baseline), job.images))
        insertion[step] = job.values(np.where(gone, job.images, np.float32(baseline)))
    return deletion, insertion


def area(curve: Floats) -> Floats:
    """Area under each column of a curve over [0, 1], by trapezoids: ``(K, N) -> (N,)``."""
    result: Floats = (curve[:-1] + curve[1:]).sum(axis=0) / 2 / (len(curve) - 1)
    return result


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin: every `stride` pixels, and once more at the end where those would leave a rest."""
    starts = list(range(0, max(1, length - window + 1), stride))
    return starts if starts[-1] + window >= length else [*starts, starts[-1] + stride]


def _sides(name: str, given: Any, most: Size, default: Size) -> Size:
    if given is None:
        return default
    pair = (given, given) if isinstance(given, (int, np.integer)) else tuple(given)
    if len(pair) != 2 or any(
        isinstance(side, bool) or not isinstance(side, (int, np.integer)) or not 1 <= side <= limit
        for side, limit in zip(pair, most, strict=True)
    ):
        raise InvalidParameter(
            name, allowed=f"1 to {most[0]} x {most[1]} pixels", received=given,
            fix="A stride larger than the window would leave pixels out." if name == "stride" else f"{name}=8",
        )  # fmt: skip
    return int(pair[0]), int(pair[1])
