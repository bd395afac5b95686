"""What is computed after the steps: clean images and their values, snapshots, and opacity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import stack_trees
from phosphene.ascent.program import Job, Program
from phosphene.ascent.step import Look, Picture
from phosphene.backend import native
from phosphene.types import Floats, Tree

__all__ = ["clean", "on_the_way", "summed"]


def clean(
    job: Job, parameters: Sequence[Floats], constants: dict[str, Tree], batch: int
) -> tuple[NDArray[np.float32], Floats]:
    """Clean images ``(N, H, W, C)`` and values ``(N,)`` of all targets, in batches of `batch`."""
    network, backend = job.program.network, job.program.network.backend

    def look(rows: Sequence[int]) -> Tree:
        arguments = stack_trees([job.targets[row].arguments for row in rows])
        given = {**constants, "arguments": native(network, arguments)}
        found = backend.run(Look(job.program), given, native(network, np.stack([parameters[row] for row in rows])))
        return tuple(backend.to_numpy(part) for part in found)

    images, values = zip(*_batches(look, len(job.targets), batch), strict=True)
    return np.concatenate(images).astype(np.float32), np.concatenate(values).astype(np.float64)


def on_the_way(
    program: Program,
    kept: Sequence[Sequence[Floats]],
    parameters: Sequence[Floats],
    constants: dict[str, Tree],
    batch: int,
) -> NDArray[np.uint8]:
    """Snapshots ``(S, N, H, W, C)`` of the parameters that were kept; a target that stopped early repeats its last one."""
    backend = program.network.backend
    given = {**constants, "arguments": None}
    moments = []
    for moment in range(max((len(own) for own in kept), default=0)):
        now = [own[min(moment, len(own) - 1)] if own else last for own, last in zip(kept, parameters, strict=True)]

        def look(rows: Sequence[int], now: list[Floats] = now) -> Tree:
            stacked = native(program.network, np.stack([now[row] for row in rows]))
            return (backend.to_numpy(backend.run(Picture(program), given, stacked)),)

        images = np.concatenate([part for (part,) in _batches(look, len(now), batch)])
        moments.append(np.round(images * 255).astype(np.uint8))
    return np.stack(moments) if moments else np.empty((0, len(parameters), *program.canvas), np.uint8)


def summed(opacity: Sequence[Floats | None]) -> NDArray[np.float32] | None:
    """Opacity of each target, ``(N, H, W)``: 0 for one without a finished chunk; None if it was not recorded."""
    known = [own for own in opacity if own is not None]
    if not known:
        return None
    rows = [np.zeros_like(known[0]) if own is None else own for own in opacity]
    total: NDArray[np.float32] = np.stack(rows).sum(axis=-1).astype(np.float32)
    return total


def _batches(look: Callable[[Sequence[int]], Any], count: int, batch: int) -> list[Any]:
    """`look` at batches of equal size: the last one is padded with its last row, and the padding dropped."""
    parts = []
    for start in range(0, count, batch):
        found = look([min(index, count - 1) for index in range(start, start + batch)])
        parts.append(tuple(part[: count - start] for part in found))
    return parts
