"""The batch size at which a target takes the least time, found by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from phosphene.ascent.driver import ascend
from phosphene.ascent.program import Ascent, Plan, Target

__all__ = ["MEASURED", "fastest_slots"]

MEASURED = -1
"""In place of `Plan.slots`: to be measured."""

TRIES = 2
"""Timed steps of each size, behind one that compiles and warms up."""


def fastest_slots(ascent: Ascent, targets: Sequence[Target], plan: Plan, most: int) -> int:
    """Targets at a time, a power of two or `most`, at which a step takes the least time a target.

    Parameters
    ----------
    ascent : Ascent
    targets : sequence of Target
    plan : Plan
        Of the run to come.
    most : int
        Slots that fit into memory.

    Returns
    -------
    int
        Sizes are tried from small to large, until one is slower a target than the one before.
    """
    best, fastest = 1, float("inf")
    most = min(most, len(targets))
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    for size in [*sizes, most]:
        some = targets[:size]
        ascend(ascent, some, replace(plan, slots=size, steps=1))
        started = time.perf_counter()
        ascend(ascent, some, replace(plan, slots=size, steps=TRIES))
        taken = (time.perf_counter() - started) / size
        if taken >= fastest:
            break
        best, fastest = size, taken
    return best
