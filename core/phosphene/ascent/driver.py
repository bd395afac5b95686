"""The loop around the steps: a batch of slots, refilled from a queue and checked after each chunk of steps."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from phosphene.arrays import expand, stack_trees, tree_map
from phosphene.ascent.observation import clean, on_the_way, summed
from phosphene.ascent.program import Ascended, Job, Plan, Program
from phosphene.ascent.step import Step, constants_of
from phosphene.backend import Backend, native
from phosphene.draws import generator
from phosphene.kit.progress import Progress
from phosphene.types import Floats, Tree

__all__ = ["drive"]

log = logging.getLogger("phosphene.ascent")

WORTH_COMPILING = 128
"""Fewest remaining steps for which a smaller batch is compiled."""


@dataclass
class Slot:
    """One row of the batch: the target in it and the number of steps that target has made (`clock`).

    The result of an idle slot is not read. It stays in the batch because compiling for a smaller one can cost more.
    """

    target: int
    clock: int
    draws: Tree
    idle: bool = False
    awake: bool = False
    best: float = -np.inf
    best_at: int = 0


@dataclass
class Records:
    """The results so far, per target."""

    history: Floats
    steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    awake_at: list[int | None]
    reached: Floats
    status: list[str]
    parameters: list[Floats]
    opacity: list[Floats | None]
    snapshots: list[list[Floats]]
    tolerance: float


def drive(job: Job, plan: Plan, slots: int) -> Ascended:
    """Run a job in batches of at most `slots` targets, whatever `plan.slots` says.

    Targets share a batch and nothing else: each has its own random transforms, clock and optimizer state. A target that has
    finished leaves at the end of a chunk and a queued one takes its slot. Once the queue is empty, the batch shrinks as it
    drains if another batch size needs no compilation, or if many steps are left.

    Parameters
    ----------
    job : Job
    plan : Plan
    slots : int

    Returns
    -------
    Ascended
    """
    program, targets = job.program, job.targets
    network, backend = program.network, program.network.backend
    started = time.perf_counter()
    records = _empty(job, plan)
    queue = list(range(len(targets)))[::-1]
    taken: list[tuple[float, int]] = []
    wakes = program.rule is not None and program.rule.when == "warm-up"
    with network.scope(), _interruptible() as interrupted:
        constants = {**native(network, constants_of(program)), "weights": network.weights()}
        batch = [_enter(queue.pop(), job) for _ in range(min(slots, len(targets)))]
        carry = _fresh(job, batch, plan)
        constants["arguments"] = _arguments(job, batch)
        while not all(slot.idle for slot in batch):
            busy = [slot for slot in batch if not slot.idle]
            warming = wakes and any(_to_be_woken(slot, plan) for slot in busy)
            # The rule costs as much as two steps and most targets do not need it, which one step shows.
            chunk = 1 if warming and any(slot.clock == 0 for slot in busy) else plan.chunk
            length = min(chunk, *(_steps_ahead(slot, plan) for slot in busy))
            xs = native(network, {"draws": _draws(batch, length), **_per_step(job, sum(n for _, n in taken), length)})
            chunk_started = time.perf_counter()
            carry, seen, length = _chunk(backend, Step(program, warming), constants, carry, xs, length, interrupted)
            taken.append((time.perf_counter() - chunk_started, length))
            _record(records, batch, seen, length, plan)
            stopped = interrupted.is_set() or _told_to_stop(plan, records, started)
            leaving = [not slot.idle and (stopped or _finished(slot, records, plan)) for slot in batch]
            kept = [_on_a_snapshot(slot, plan) or leaving[row] for row, slot in enumerate(batch)]
            if any(kept):
                last = tree_map(
                    backend.to_numpy, {name: carry[name] for name in ("parameters", "opacity") if name in carry}
                )
                for row, slot in enumerate(batch):
                    if kept[row] and not slot.idle and plan.snapshots is not None:
                        records.snapshots[slot.target].append(last["parameters"][row])
                    if leaving[row]:
                        records.parameters[slot.target] = last["parameters"][row]
                        records.opacity[slot.target] = last["opacity"][row] if "opacity" in last else None
                        records.status[slot.target] = _status(slot, records, plan, stopped)
            if any(leaving):
                if stopped:
                    break
                batch, carry = _refill(job, batch, carry, leaving, queue, plan)
                batch, carry = _compact(program, batch, carry, plan)
                constants["arguments"] = _arguments(job, batch)
            carry = _gate(program, carry, batch, plan)
        size = min(slots, len(targets))
        images, values = clean(job, records.parameters, constants, size)
        snapshots = on_the_way(program, records.snapshots, records.parameters, constants, size)
    # The first chunk compiles the step of the warm-up, the second that of the rest.
    usual = float(np.median([seconds / steps for seconds, steps in taken[2:] or taken]))
    compiling = sum(max(0.0, seconds - usual * steps) for seconds, steps in taken[:2])
    return Ascended(
        images=images,
        values=values,
        history=records.history,
        steps=records.steps,
        awake_at=np.asarray([-1 if step is None else step for step in records.awake_at], np.int64),
        status=tuple(records.status),
        reached=records.reached,
        parameters=records.parameters,
        snapshots=snapshots,
        opacity=summed(records.opacity),
        slots=slots,
        seconds=time.perf_counter() - started,
        compile_seconds=compiling if backend.compiled else 0.0,
    )


class _Interrupted(Exception):
    """Leaves a chunk between two steps."""


@dataclass
class _Watched:
    """A step that is not made once the run is interrupted, and that keeps what the steps before have left."""

    step: Step
    interrupted: threading.Event
    carry: Tree = None
    seen: list[Tree] = field(default_factory=list)

    def __call__(self, constants: Tree, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        if self.seen and self.interrupted.is_set():
            raise _Interrupted
        self.carry, y = self.step(constants, carry, x)
        self.seen.append(y)
        return self.carry, y


def _chunk(
    backend: Backend, step: Step, constants: Tree, carry: Tree, xs: Tree, length: int, interrupted: threading.Event
) -> tuple[Tree, Tree, int]:
    """Make up to `length` steps, and return the carry, what was seen as NumPy arrays, and the number of steps.

    Where steps are not compiled into one program, an interrupt need not wait for the last of them.
    """
    if backend.compiled:
        carry, seen = backend.loop(step, constants, carry, xs)
        return carry, tree_map(backend.to_numpy, seen), length
    watched = _Watched(step, interrupted)
    try:
        carry, seen = backend.loop(watched, constants, carry, xs)
    except _Interrupted:
        rows = [tree_map(backend.to_numpy, y) for y in watched.seen]
        return watched.carry, tree_map(lambda *leaves: np.stack(leaves), *rows), len(rows)
    return carry, tree_map(backend.to_numpy, seen), length


def _empty(job: Job, plan: Plan) -> Records:
    count = len(job.targets)
    return Records(
        history=np.full((plan.steps, count), np.nan),
        steps=np.zeros(count, np.int64),
        awake_at=[None] * count,
        reached=np.zeros(count),
        status=["interrupted"] * count,
        parameters=[np.asarray(target.initial) for target in job.targets],
        opacity=[None] * count,
        snapshots=[[] for _ in job.targets],
        tolerance=plan.tolerance,
    )


def _enter(index: int, job: Job) -> Slot:
    return Slot(index, 0, job.targets[index].draws())


def _fresh(job: Job, batch: Sequence[Slot], plan: Plan) -> dict[str, Tree]:
    program = job.program
    xp = program.network.backend.xp
    parameters = native(program.network, np.stack([job.targets[slot.target].initial for slot in batch]))
    state = program.optimizer.init(xp, parameters)
    clock = native(program.network, np.asarray([slot.clock for slot in batch], np.int32))
    carry = {"parameters": parameters, "state": state, "clock": clock}
    if program.parameterization.transparent:
        carry["opacity"] = native(program.network, np.zeros((len(batch), *program.canvas)))
    return _gate(program, carry, batch, plan)


def _to_be_woken(slot: Slot, plan: Plan) -> bool:
    return not slot.awake and slot.clock < plan.warm_up


def _gate(program: Program, carry: dict[str, Tree], batch: Sequence[Slot], plan: Plan) -> dict[str, Tree]:
    always = program.rule is not None and program.rule.when == "always"
    gate = np.asarray([float(always or _to_be_woken(slot, plan)) for slot in batch])
    return {**carry, "gate": native(program.network, gate)}


def _arguments(job: Job, batch: Sequence[Slot]) -> Tree:
    return native(job.program.network, stack_trees([job.targets[slot.target].view_arguments for slot in batch]))


def _draws(batch: Sequence[Slot], length: int) -> Tree:
    def gather(*leaves: Floats) -> Floats:
        return np.stack(
            [leaf[slot.clock : slot.clock + length] for leaf, slot in zip(leaves, batch, strict=True)], axis=1
        )

    return tree_map(gather, *(slot.draws for slot in batch))


def _per_step(job: Job, done: int, length: int) -> dict[str, Tree]:
    """What all targets share at each of the next steps: its index, and the seed of a network that draws random numbers."""
    shared: dict[str, Tree] = {"index": np.arange(length, dtype=np.int32)}
    if job.program.network.findings.random:
        seeds = [generator(job.seed, "network", str(done + index)).integers(2**31 - 1) for index in range(length)]
        shared["network"] = np.asarray(seeds, np.int32)
    return shared


def _record(records: Records, batch: Sequence[Slot], seen: Tree, length: int, plan: Plan) -> None:
    for row, slot in enumerate(batch):
        if slot.idle:
            continue
        target, start = slot.target, slot.clock
        values = seen["value"][:, row]
        records.history[start : start + length, target] = values
        records.steps[target] = start + length
        records.reached[target] = np.fmax(records.reached[target], np.max(seen["reached"][:, row]))
        alive = (seen["used"][:, row] == 0) & (seen["reached"][:, row] > 0)
        if records.awake_at[target] is None and np.any(alive):
            records.awake_at[target] = start + int(np.argmax(alive))
        if start < plan.warm_up or not slot.awake:
            # A target whose gradient comes and goes is still helped: what counts is the last step of the chunk.
            slot.awake = bool(alive[-1])
        slot.clock = start + length
        level = float(np.mean(values))
        margin = abs(slot.best) * records.tolerance if np.isfinite(slot.best) else 0.0
        if level > slot.best + margin:
            slot.best, slot.best_at = level, slot.clock


def _finished(slot: Slot, records: Records, plan: Plan) -> bool:
    if slot.clock >= plan.steps or not np.isfinite(records.history[slot.clock - 1, slot.target]):
        return True
    return plan.patience is not None and slot.awake and slot.clock - slot.best_at >= plan.patience


def _status(slot: Slot, records: Records, plan: Plan, stopped: bool) -> str:
    if not np.isfinite(records.history[slot.clock - 1, slot.target]):
        return "nonfinite"
    if slot.clock >= plan.steps:
        return "dead" if records.awake_at[slot.target] is None else "budget"
    return "interrupted" if stopped else "converged"


def _refill(
    job: Job, batch: list[Slot], carry: dict[str, Tree], leaving: list[bool], queue: list[int], plan: Plan
) -> tuple[list[Slot], dict[str, Tree]]:
    """Give free slots to queued targets; without any left, they become idle."""
    program = job.program
    xp = program.network.backend.xp
    entering = [False] * len(batch)
    for row, free in enumerate(leaving):
        if free and queue:
            batch[row], entering[row] = _enter(queue.pop(), job), True
        elif free:
            batch[row] = Slot(batch[row].target, 0, batch[row].draws, idle=True, awake=True)
    if any(entering):
        fresh = _fresh(job, batch, plan)
        rows = native(program.network, np.asarray(entering, np.float64))
        keep = xp.reshape(rows, (-1,) + (1,) * (carry["parameters"].ndim - 1)) > 0
        parameters = xp.where(keep, fresh["parameters"], carry["parameters"])
        state = program.optimizer.restart(xp, carry["state"], parameters, entering)
        after = {"parameters": parameters, "state": state, "clock": fresh["clock"]}
        if "opacity" in carry:
            after["opacity"] = xp.where(expand(xp, rows, carry["opacity"]) > 0, fresh["opacity"], carry["opacity"])
        carry = after
    return batch, carry


def _compact(
    program: Program, batch: list[Slot], carry: dict[str, Tree], plan: Plan
) -> tuple[list[Slot], dict[str, Tree]]:
    """Drop idle slots. If another batch size means compiling, only down to a power of two, and only for many steps.

    What it would save is not measured: rounding depends on the batch size, and runs with one seed must agree.
    """
    backend = program.network.backend
    busy = [row for row, slot in enumerate(batch) if not slot.idle]
    size = len(busy)
    if backend.compiled and busy:
        size = 1 << (size - 1).bit_length()
        if 2 * size > len(batch) or max(plan.steps - batch[row].clock for row in busy) < WORTH_COMPILING:
            return batch, carry
    if not busy or size == len(batch):
        return batch, carry
    kept = sorted([*busy, *(row for row, slot in enumerate(batch) if slot.idle)][:size])
    rows = native(program.network, np.asarray(kept, np.int32))
    state = program.optimizer.take(backend.xp, carry["state"], kept)
    carry = {name: state if name == "state" else carry[name][rows] for name in carry if name != "gate"}
    return [batch[row] for row in kept], carry


def _steps_ahead(slot: Slot, plan: Plan) -> int:
    """Steps to the end, or to the next snapshot."""
    left = plan.steps - slot.clock
    return left if plan.snapshots is None else min(left, plan.snapshots - slot.clock % plan.snapshots)


def _on_a_snapshot(slot: Slot, plan: Plan) -> bool:
    return plan.snapshots is not None and not slot.idle and slot.clock % plan.snapshots == 0


def _told_to_stop(plan: Plan, records: Records, started: float) -> bool:
    if plan.progress is None:
        return False
    done, total = int(records.steps.sum()), plan.steps * len(records.steps)
    return plan.progress(Progress(done, total, "steps", time.perf_counter() - started)) is False


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag that is checked between steps; a second one interrupts at once.

    A signal in the middle of a step could leave donated buffers behind, which cannot be read.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        log.warning(
            "interrupted: finishing these steps, then returning the pictures so far (press Ctrl-C again to stop at once)"
        )
        flag.set()
        signal.signal(signal.SIGINT, previous)

    try:
        signal.signal(signal.SIGINT, handle)
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
