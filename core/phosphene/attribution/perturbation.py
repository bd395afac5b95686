"""Attribution by perturbing pixels: occlusion, and the deletion and insertion curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.attribution.evaluation import MethodOutput, Task, baseline_of
from phosphene.errors import InvalidParameter
from phosphene.kit.checks import pair_of
from phosphene.types import Floats, Size

__all__ = ["area", "curves", "occlusion"]

AT_ONCE = 256
"""Largest number of occluded images that are held in memory; they are run in batches."""


def occlusion(task: Task) -> MethodOutput:
    """Decrease of the target when a window of the image is covered (Zeiler and Fergus 2014).

    `raw` is ``(N, rows, columns)``, with one value per window; a pixel of the map is the mean over the windows that cover it.
    """
    height, width = task.images.shape[1:3]
    window = _sides("window", task.options["window"], (height, width), (max(1, height // 8), max(1, width // 8)))
    stride = _sides("stride", task.options["stride"], window, window)
    rows, columns = _starts(height, window[0], stride[0]), _starts(width, window[1], stride[1])
    places = [(row, column) for row in rows for column in columns]
    behind = np.broadcast_to(baseline_of(task), task.images.shape[1:])
    task.expect((1 + len(places)) * len(task.images))
    values = task.values(task.images)
    lost = np.empty((len(task.images), len(places)))
    count = max(1, AT_ONCE // len(task.images))
    for start in range(0, len(places), count):
        chosen = places[start : start + count]
        covered = np.repeat(task.images[None], len(chosen), axis=0)
        for copy, (top, left) in zip(covered, chosen, strict=True):
            place = slice(top, top + window[0]), slice(left, left + window[1])
            copy[(slice(None), *place)] = behind[place]
        owners = np.tile(np.arange(len(task.images)), len(chosen))
        seen = task.values(covered.reshape(-1, *task.images.shape[1:]), owners).reshape(len(chosen), -1)
        lost[:, start : start + count] = values[:, None] - seen.T
    painted, covering = np.zeros(task.images.shape[:3]), np.zeros((height, width))
    for index, (top, left) in enumerate(places):
        painted[:, top : top + window[0], left : left + window[1]] += lost[:, index, None, None]
        covering[top : top + window[0], left : left + window[1]] += 1
    raw = lost.reshape(len(task.images), len(rows), len(columns))
    return MethodOutput(raw, values, spread=painted / covering)


def curves(task: Task, maps: NDArray[np.float32], steps: int = 16, baseline: float = 0.5) -> tuple[Floats, Floats]:
    """Value of the target as pixels are deleted, and as they are inserted, most important first (Petsiuk et al. 2018).

    Returns
    -------
    deletion, insertion : numpy.ndarray (steps + 1, N)
        From the whole image to the baseline, and from the baseline to the whole image.
    """
    count, pixels = len(maps), maps[0].size
    ranked = np.argsort(-maps.reshape(count, -1), axis=1, kind="stable")
    rank = np.empty_like(ranked)
    np.put_along_axis(rank, ranked, np.arange(pixels)[None], axis=1)
    rank = rank.reshape(maps.shape)
    task.expect(2 * (steps + 1) * count)
    deletion, insertion = np.empty((steps + 1, count)), np.empty((steps + 1, count))
    for step in range(steps + 1):
        gone = (rank < round(step / steps * pixels))[..., None]
        deletion[step] = task.values(np.where(gone, np.float32(baseline), task.images))
        insertion[step] = task.values(np.where(gone, task.images, np.float32(baseline)))
    return deletion, insertion


def area(curve: Floats) -> Floats:
    """Area under each column of a curve over [0, 1] by the trapezoidal rule: ``(K, N) -> (N,)``."""
    result: Floats = (curve[:-1] + curve[1:]).sum(axis=0) / 2 / (len(curve) - 1)
    return result


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Starts of the windows: every `stride` pixels, and one more if pixels remain at the end."""
    starts = list(range(0, max(1, length - window + 1), stride))
    return starts if starts[-1] + window >= length else [*starts, starts[-1] + stride]


def _sides(name: str, given: Any, most: Size, default: Size) -> Size:
    if given is None:
        return default
    pair = pair_of(name, given)
    if pair[0] > most[0] or pair[1] > most[1]:
        raise InvalidParameter(
            name,
            allowed=f"1 to {most[0]} pixels, or (height, width) of at most {most[0]} x {most[1]}",
            received=given,
            fix="A stride larger than the window would leave pixels out."
            if name == "stride"
            else f"For example {name}={max(1, min(most) // 8)}.",
        )
    return pair
