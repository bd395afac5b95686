"""`ascend`: run a job, in batches of a size that is given, limited by memory, or measured."""

from __future__ import annotations

import time
from dataclasses import replace

from phosphene.ascent.driver import drive
from phosphene.ascent.program import Ascended, Job, Measured, Plan

__all__ = ["ascend"]


def ascend(job: Job, plan: Plan) -> Ascended:
    """Run the gradient ascent of all targets of a job.

    Parameters
    ----------
    job : Job
    plan : Plan

    Returns
    -------
    Ascended
        In the order of the targets. What an interrupt left unfinished is marked "interrupted".
    """
    return drive(job, plan, _slots(job, plan))


def _slots(job: Job, plan: Plan) -> int:
    """Targets per batch."""
    if job.together:
        return len(job.targets)
    if isinstance(plan.slots, Measured):
        return _fastest(job, replace(plan, progress=None), plan.slots.steps)
    return job.capacity if plan.slots is None else plan.slots


def _fastest(job: Job, plan: Plan, steps: int) -> int:
    """The batch size, a power of two or the capacity, at which a step takes the least time per target.

    Sizes are tried in ascending order until one is slower per target than the one before.
    """
    best, fastest = 1, float("inf")
    most = min(job.capacity, len(job.targets))
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    for size in [*sizes, most]:
        some = replace(job, targets=job.targets[:size])
        drive(some, replace(plan, steps=1), size)
        started = time.perf_counter()
        drive(some, replace(plan, steps=steps), size)
        taken = (time.perf_counter() - started) / size
        if taken >= fastest:
            break
        best, fastest = size, taken
    return best
