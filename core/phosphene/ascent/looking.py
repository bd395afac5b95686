"""What is seen when the steps are done: clean images and their values, what was kept on the way, and where a gradient arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.arrays import stack_trees
from phosphene.ascent.program import Ascent, Target, native
from phosphene.ascent.step import Look, Picture
from phosphene.types import Floats, Tree

__all__ = ["clean", "on_the_way", "summed"]


def clean(
    ascent: Ascent, targets: Sequence[Target], parameters: Sequence[Floats], constants: dict[str, Tree], batch: int
) -> tuple[NDArray[np.float32], Floats]:
    """Clean images ``(N, H, W, C)`` and values ``(N,)`` of all targets, in batches of one size."""
    backend = ascent.network.backend

    def look(rows: Sequence[int]) -> Tree:
        chosen = [targets[row] for row in rows]
        arguments = stack_trees([target.arguments if ascent.whole is None else target.whole for target in chosen])
        given = {**constants, "arguments": native(ascent.network, arguments)}
        found = backend.run(Look(ascent), given, native(ascent.network, np.stack([parameters[row] for row in rows])))
        return tuple(backend.to_numpy(part) for part in found)

    images, values = zip(*_batches(look, len(targets), batch), strict=True)
    return np.concatenate(images).astype(np.float32), np.concatenate(values).astype(np.float64)


def on_the_way(
    ascent: Ascent,
    kept: Sequence[Sequence[Floats]],
    parameters: Sequence[Floats],
    constants: dict[str, Tree],
    batch: int,
) -> NDArray[np.uint8]:
    """Images of the parameters that were kept, ``(S, N, H, W, C)``; who stopped early stays as it was."""
    backend = ascent.network.backend
    given = {**constants, "arguments": None}
    moments = []
    for moment in range(max((len(own) for own in kept), default=0)):
        now = [own[min(moment, len(own) - 1)] if own else last for own, last in zip(kept, parameters, strict=True)]

        def look(rows: Sequence[int], now: list[Floats] = now) -> Tree:
            stacked = native(ascent.network, np.stack([now[row] for row in rows]))
            return (backend.to_numpy(backend.run(Picture(ascent), given, stacked)),)

        images = np.concatenate([part for (part,) in _batches(look, len(now), batch)])
        moments.append(np.round(images * 255).astype(np.uint8))
    return np.stack(moments) if moments else np.empty((0, len(parameters), *ascent.canvas), np.uint8)


def summed(opacity: Sequence[Floats | None]) -> NDArray[np.float32] | None:
    """Opacity of each target, ``(N, H, W)``: 0 for one that was interrupted at once, None where none was asked for."""
    known = [own for own in opacity if own is not None]
    if not known:
        return None
    rows = [np.zeros_like(known[0]) if own is None else own for own in opacity]
    total: NDArray[np.float32] = np.stack(rows).sum(axis=-1).astype(np.float32)
    return total


def _batches(look: Callable[[Sequence[int]], Any], count: int, batch: int) -> list[Any]:
    """`look` at rows, always as many: the last batch is filled up with its last row, and the filling dropped."""
    parts = []
    for start in range(0, count, batch):
        found = look([min(index, count - 1) for index in range(start, start + batch)])
        parts.append(tuple(part[: count - start] for part in found))
    return parts
