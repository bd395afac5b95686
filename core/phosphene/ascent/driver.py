"""The loop around the steps: a static batch of slots, refilled from a queue, looked at once a chunk."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from phosphene.arrays import expand, stack_trees, tree_map
from phosphene.ascent.looking import clean, on_the_way, summed
from phosphene.ascent.program import Ascended, Ascent, Plan, Progress, Target, native
from phosphene.ascent.step import Step, constants_of
from phosphene.types import Floats, Tree

__all__ = ["ascend"]

log = logging.getLogger("phosphene.ascent")

WORTH_COMPILING = 128
"""Steps that must be left before a smaller batch is compiled for them."""


@dataclass
class Slot:
    """One row of the batch: which target it holds, and how many steps that target has made.

    An idle slot goes on computing what nobody reads: where a new batch size means compiling, that can be cheaper.
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
    """What is known of every target so far."""

    history: Floats
    steps: np.ndarray[tuple[int], np.dtype[np.int64]]
    awake_at: np.ndarray[tuple[int], np.dtype[np.int64]]
    reached: Floats
    status: list[str]
    parameters: list[Floats]
    opacity: list[Floats | None]
    snapshots: list[list[Floats]]
    tolerance: float


def ascend(ascent: Ascent, targets: Sequence[Target], plan: Plan) -> Ascended:
    """Run the ascent for all targets.

    Targets share a batch but nothing else: each has its own draws, clock and optimizer state. A target that has finished
    leaves at the end of a chunk and a queued one takes its slot; once the queue is empty the batch is made smaller as it
    drains, where a new batch size costs no compilation, or much is left to do.

    Parameters
    ----------
    ascent : Ascent
        The static program.
    targets : sequence of Target
        At least one.
    plan : Plan
        Steps, slots, stopping and progress.

    Returns
    -------
    Ascended
        In the order of `targets`; what an interrupt left unfinished is marked so.
    """
    network, backend = ascent.network, ascent.network.backend
    started = time.perf_counter()
    records = _empty(targets, plan)
    queue = list(range(len(targets)))[::-1]
    taken: list[tuple[float, int]] = []
    with network.scope(), _interruptible() as interrupted:
        fixed = constants_of(ascent, None)
        constants = {**native(network, {**fixed, "weights": None}), "weights": network.weights()}
        slots = [_enter(queue.pop(), targets) for _ in range(min(plan.slots, len(targets)))]
        carry = _fresh(ascent, targets, slots, plan)
        constants["arguments"] = _arguments(ascent, targets, slots)
        while not all(slot.idle for slot in slots):
            busy = [slot for slot in slots if not slot.idle]
            warming = (
                ascent.rule is not None
                and not ascent.always
                and any(not slot.awake and slot.clock < plan.warm_up for slot in busy)
            )
            # The rule costs as much as two steps, and most targets need none: one step tells.
            chunk = 1 if warming and any(slot.clock == 0 for slot in busy) else plan.chunk
            length = min(chunk, *(_steps_ahead(slot, plan) for slot in busy))
            xs = native(network, {"draws": _draws(slots, length), "index": np.arange(length, dtype=np.int32)})
            chunk_started = time.perf_counter()
            carry, seen = backend.loop(Step(ascent, warming), constants, carry, xs)
            seen = tree_map(backend.to_numpy, seen)
            taken.append((time.perf_counter() - chunk_started, length))
            _record(records, slots, seen, length, plan)
            stopped = interrupted.is_set() or _told_to_stop(plan, records, targets, started)
            leaving = [not slot.idle and (stopped or _finished(slot, records, plan)) for slot in slots]
            kept = [_on_a_snapshot(slot, plan) or leaving[row] for row, slot in enumerate(slots)]
            if any(kept):
                last = tree_map(
                    backend.to_numpy, {name: carry[name] for name in ("parameters", "opacity") if name in carry}
                )
                for row, slot in enumerate(slots):
                    if kept[row] and not slot.idle and plan.snapshots:
                        records.snapshots[slot.target].append(last["parameters"][row])
                    if leaving[row]:
                        records.parameters[slot.target] = last["parameters"][row]
                        records.opacity[slot.target] = last["opacity"][row] if "opacity" in last else None
                        records.status[slot.target] = _status(slot, records, plan, stopped)
            if any(leaving):
                if stopped:
                    break
                slots, carry = _refill(ascent, targets, slots, carry, leaving, queue, plan)
                slots, carry = _compact(ascent, slots, carry, plan)
                constants["arguments"] = _arguments(ascent, targets, slots)
            carry = _gate(ascent, carry, slots, plan)
        batch = min(plan.slots, len(targets))
        images, values = clean(ascent, targets, records.parameters, constants, batch)
        snapshots = on_the_way(ascent, records.snapshots, records.parameters, constants, batch)
    # The first chunk compiles the step of the warm-up, the second that of the rest.
    usual = float(np.median([seconds / steps for seconds, steps in taken[2:] or taken]))
    compiling = sum(max(0.0, seconds - usual * steps) for seconds, steps in taken[:2])
    return Ascended(
        images=images,
        values=values,
        history=records.history,
        steps=records.steps,
        awake_at=records.awake_at,
        status=tuple(records.status),
        reached=records.reached,
        parameters=records.parameters,
        snapshots=snapshots,
        opacity=summed(records.opacity),
        seconds=time.perf_counter() - started,
        compile_seconds=compiling if backend.compiled else 0.0,
    )


def _empty(targets: Sequence[Target], plan: Plan) -> Records:
    count = len(targets)
    return Records(
        history=np.full((plan.steps, count), np.nan),
        steps=np.zeros(count, np.int64),
        awake_at=np.full(count, -1, np.int64),
        reached=np.zeros(count),
        status=["interrupted"] * count,
        parameters=[np.asarray(target.initial) for target in targets],
        opacity=[None] * count,
        snapshots=[[] for _ in targets],
        tolerance=plan.tolerance,
    )


def _enter(index: int, targets: Sequence[Target]) -> Slot:
    return Slot(index, 0, targets[index].draws())


def _fresh(ascent: Ascent, targets: Sequence[Target], slots: Sequence[Slot], plan: Plan) -> dict[str, Tree]:
    xp = ascent.network.backend.xp
    parameters = native(ascent.network, np.stack([targets[slot.target].initial for slot in slots]))
    state = ascent.optimizer.init(xp, parameters)
    clock = native(ascent.network, np.asarray([slot.clock for slot in slots], np.int32))
    carry = {"parameters": parameters, "state": state, "clock": clock}
    if ascent.parameterization.transparent:
        carry["opacity"] = native(ascent.network, np.zeros((len(slots), *ascent.canvas)))
    return _gate(ascent, carry, slots, plan)


def _gate(ascent: Ascent, carry: dict[str, Tree], slots: Sequence[Slot], plan: Plan) -> dict[str, Tree]:
    gate = np.asarray([float(ascent.always or (not slot.awake and slot.clock < plan.warm_up)) for slot in slots])
    return {**carry, "gate": native(ascent.network, gate)}


def _arguments(ascent: Ascent, targets: Sequence[Target], slots: Sequence[Slot]) -> Tree:
    return native(ascent.network, stack_trees([targets[slot.target].arguments for slot in slots]))


def _draws(slots: Sequence[Slot], length: int) -> Tree:
    def gather(*leaves: Floats) -> Floats:
        return np.stack(
            [leaf[slot.clock : slot.clock + length] for leaf, slot in zip(leaves, slots, strict=True)], axis=1
        )

    return tree_map(gather, *(slot.draws for slot in slots))


def _record(records: Records, slots: Sequence[Slot], seen: Tree, length: int, plan: Plan) -> None:
    for row, slot in enumerate(slots):
        if slot.idle:
            continue
        target, start = slot.target, slot.clock
        values = seen["value"][:, row]
        records.history[start : start + length, target] = values
        records.steps[target] = start + length
        records.reached[target] = np.fmax(records.reached[target], np.max(seen["reached"][:, row]))
        alive = (seen["used"][:, row] == 0) & (seen["reached"][:, row] > 0)
        if records.awake_at[target] < 0 and np.any(alive):
            records.awake_at[target] = start + int(np.argmax(alive))
        if start < plan.warm_up or not slot.awake:
            # Awake is what needed no help at the chunk's end; a target that blinks on and off is helped on.
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
        return "dead" if records.awake_at[slot.target] < 0 else "budget"
    return "interrupted" if stopped else "converged"


def _refill(
    ascent: Ascent,
    targets: Sequence[Target],
    slots: list[Slot],
    carry: dict[str, Tree],
    leaving: list[bool],
    queue: list[int],
    plan: Plan,
) -> tuple[list[Slot], dict[str, Tree]]:
    """Give free slots to queued targets; once there are none, they are idle."""
    xp = ascent.network.backend.xp
    entering = [False] * len(slots)
    for row, free in enumerate(leaving):
        if free and queue:
            slots[row], entering[row] = _enter(queue.pop(), targets), True
        elif free:
            slots[row] = Slot(slots[row].target, 0, slots[row].draws, idle=True, awake=True)
    if any(entering):
        fresh = _fresh(ascent, targets, slots, plan)
        rows = native(ascent.network, np.asarray(entering, np.float64))
        keep = xp.reshape(rows, (-1,) + (1,) * (carry["parameters"].ndim - 1)) > 0
        parameters = xp.where(keep, fresh["parameters"], carry["parameters"])
        state = ascent.optimizer.restart(xp, carry["state"], parameters, entering)
        after = {"parameters": parameters, "state": state, "clock": fresh["clock"]}
        if "opacity" in carry:
            after["opacity"] = xp.where(expand(xp, rows, carry["opacity"]) > 0, fresh["opacity"], carry["opacity"])
        carry = after
    return slots, carry


def _compact(
    ascent: Ascent, slots: list[Slot], carry: dict[str, Tree], plan: Plan
) -> tuple[list[Slot], dict[str, Tree]]:
    """Drop idle slots. Where another batch size means compiling, only down to a power of two, and only for a long way.

    What it would save is not measured: rounding depends on the batch, and two runs with one seed are to be one.
    """
    backend = ascent.network.backend
    busy = [row for row, slot in enumerate(slots) if not slot.idle]
    size = len(busy)
    if backend.compiled and busy:
        size = 1 << (size - 1).bit_length()
        if 2 * size > len(slots) or max(plan.steps - slots[row].clock for row in busy) < WORTH_COMPILING:
            return slots, carry
    if not busy or size == len(slots):
        return slots, carry
    kept = sorted([*busy, *(row for row, slot in enumerate(slots) if slot.idle)][:size])
    rows = native(ascent.network, np.asarray(kept, np.int32))
    state = ascent.optimizer.take(backend.xp, carry["state"], kept)
    carry = {name: state if name == "state" else carry[name][rows] for name in carry if name != "gate"}
    return [slots[row] for row in kept], carry


def _steps_ahead(slot: Slot, plan: Plan) -> int:
    """To the end, or to the next snapshot."""
    left = plan.steps - slot.clock
    return min(left, plan.snapshots - slot.clock % plan.snapshots) if plan.snapshots else left


def _on_a_snapshot(slot: Slot, plan: Plan) -> bool:
    return plan.snapshots > 0 and not slot.idle and slot.clock % plan.snapshots == 0


def _told_to_stop(plan: Plan, records: Records, targets: Sequence[Target], started: float) -> bool:
    if plan.progress is None:
        return False
    done, total = int(records.steps.sum()), plan.steps * len(targets)
    return plan.progress(Progress(done, total, "steps", time.perf_counter() - started)) is False


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag that is looked at once a chunk; a second one interrupts at once.

    A signal in the middle of a step could leave donated buffers behind that nobody can read.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        log.warning("interrupted: finishing this chunk, then returning what there is (press again to stop at once)")
        flag.set()
        signal.signal(signal.SIGINT, previous)

    try:
        signal.signal(signal.SIGINT, handle)
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
