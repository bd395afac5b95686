"""`bench`: renders of all combinations in turn, and the times of their steps."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from phosphene.ascent import Plan, Progress
from phosphene.backend import Network, backend_names
from phosphene.benchmarking.places import DTYPES, memory, networks_of
from phosphene.benchmarking.report import Benchmark, Row
from phosphene.draws import integer
from phosphene.errors import InvalidParameter, ModelFailed, PhospheneError
from phosphene.layers import OUTPUT
from phosphene.objectives import channel
from phosphene.progress import reporter
from phosphene.rendering import canvas_size, describe, render
from phosphene.types import Size

__all__ = ["bench"]

LEAD = Plan.chunk
"""Steps at the head of each run that are not timed: what an ascent prepares once would be counted among them."""


@dataclass
class _Lane:
    """A combination and a batch size in the race."""

    network: Network
    backend: str
    device: str
    dtype: str
    batch: int
    seconds: list[float] = field(default_factory=list)
    first_seconds: float | None = None
    peak_bytes: int | None = None
    error: Exception | None = None

    def row(self) -> Row:
        reason = "" if self.error is None else _reason(self.error)
        if not reason and not self.seconds:
            reason = "Stopped before it was measured."
        return Row(
            self.backend, self.device, self.dtype, self.batch, () if reason else tuple(self.seconds),
            self.first_seconds, self.peak_bytes, reason,
        )  # fmt: skip


def bench(
    model: Any,
    *,
    layer: str | None = None,
    batches: Sequence[int] = (1, 8, 32),
    size: int | Size | None = None,
    steps: int = 32,
    rounds: int = 5,
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> Benchmark:
    """Time the steps of `phosphene.render` on every backend, device and precision that this machine has for a model.

    The steps are those of the default recipe, for channels of one layer, after their warm-up and after compilation. Runs of all
    combinations take turns, so that whatever else the machine does hits all alike; what a run prepares once is not timed.

    Parameters
    ----------
    model : str, model or Network
        A name for `phosphene.load`, a model for `phosphene.wrap`, or a Network, which is timed as it is.
    layer : str, optional
        Where channels are maximised; the middle one of the layers with positions when absent.
    batches : sequence of int, default (1, 8, 32)
        Pictures at a time.
    size : int or (int, int), optional
        Height and width of the pictures; the network's own when absent.
    steps : int, default 32
        Timed in each run.
    rounds : int, default 5
        Runs of each combination after the first, which is not counted; at least 3.
    backends, devices, dtypes : sequence of str, optional
        What is compared. When absent: every backend that has the model; the CPU and the first device of each other kind;
        "float32" and "bfloat16", and "float16" where it is no CPU.
    options : mapping, optional
        For `phosphene.load` or `phosphene.wrap`: ``{"weights": "random"}``, ``{"size": 224}``.
    progress : callable or bool, optional
        A function of `Progress` that may return False to stop; True or False for a bar or none.

    Returns
    -------
    Benchmark
        With a row for what could not be measured too, and the reason.

    Raises
    ------
    InvalidParameter
        For a parameter outside what is allowed.
    PhospheneError
        What stood in the way of the first combination, when none could be measured.

    Notes
    -----
    JAX takes most of a GPU's memory when it starts, unless the environment says ``XLA_PYTHON_CLIENT_PREALLOCATE=false``;
    PyTorch then finds little left.
    """
    steps, rounds = integer("steps", steps, minimum=1), integer("rounds", rounds, minimum=3)
    wide = [integer("batches", batch, minimum=1) for batch in _listed("batches", batches)]
    _known("backends", backends, backend_names())
    _known("dtypes", dtypes, DTYPES)
    given = dict(options or {})
    for name in ("backend", "device", "dtype"):
        if name in given:
            raise InvalidParameter(
                "options", allowed=f"no {name!r}", received=given, fix=f"Write {name}s=[...] instead."
            )
    networks, refused = networks_of(model, backends, devices, dtypes, given)
    if not networks:
        raise refused[0][1]
    first = next(iter(networks.values()))
    canvas = canvas_size(first, size)
    layer = _middle(first) if layer is None else layer
    lanes = [_Lane(network, *names, batch) for names, network in networks.items() for batch in wide]
    versions: dict[str, str] = {}
    for network in networks.values():
        versions |= describe(network, 0, canvas)["versions"]
    _race(lanes, layer, canvas, steps, rounds, progress)
    failed = [lane.error for lane in lanes if lane.error is not None]
    if len(failed) == len(lanes):
        raise failed[0] if isinstance(failed[0], PhospheneError) else ModelFailed(_reason(failed[0])) from failed[0]
    return Benchmark(
        model=first.name if not isinstance(model, str) else model,
        layer=layer,
        size=canvas,
        steps=steps,
        rounds=rounds,
        rows=(*(lane.row() for lane in lanes), *(Row(*names, reason=_reason(error)) for names, error in refused)),
        versions=versions,
        machine={
            "system": platform.system(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        },
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _race(
    lanes: Sequence[_Lane], layer: str, canvas: Size, steps: int, rounds: int,
    progress: Callable[[Progress], bool | None] | bool | None,
) -> None:  # fmt: skip
    """Run all lanes in turn, one round after another, each round from another lane on."""
    started, total, done = time.perf_counter(), len(lanes) * (rounds + 1), 0
    with reporter(progress, "bench", total) as tell:
        for turn in range(rounds + 1):
            shift = turn % len(lanes)
            for lane in [*lanes[shift:], *lanes[:shift]]:
                done += 1
                if lane.error is not None:
                    continue
                try:
                    finished = _run(lane, layer, canvas, steps, counted=turn > 0)
                except Exception as error:  # noqa: BLE001  what a framework says of memory or of a precision is the answer
                    lane.error = error
                    finished = True
                message = f"{lane.backend} {lane.device} {lane.dtype}, batch {lane.batch}"
                state = Progress(done, total, "runs", time.perf_counter() - started, message)
                if tell(state) is False or not finished:
                    return


def _run(lane: _Lane, layer: str, canvas: Size, steps: int, *, counted: bool) -> bool:
    """One render of a lane; whether it came to its end."""
    marks: list[tuple[int, float]] = []
    network = lane.network
    channels = network.layers[layer].channels
    objectives = [channel(layer, index % channels) for index in range(lane.batch)]

    def mark(state: Progress) -> None:
        marks.append((state.done, time.perf_counter()))

    before, started = memory(network, reset=True), time.perf_counter()
    renders = render(
        network, objectives, size=canvas, steps=LEAD + steps, slots=lane.batch, warm_up=0, progress=mark
    )  # fmt: skip
    whole, after = time.perf_counter() - started, memory(network)
    if "interrupted" in renders.status:
        return False
    if "nonfinite" in renders.status:
        raise ModelFailed(f"the objective was not finite in {lane.dtype}, so that pictures cannot be made.")
    if before is not None and after is not None and after[1] > before[1]:
        lane.peak_bytes = max(lane.peak_bytes or 0, after[1] - before[0])
    if not counted:
        lane.first_seconds = whole
        return True
    (from_done, from_time), (to_done, to_time) = marks[0] if len(marks) > 1 else (0, started), marks[-1]
    lane.seconds.append((to_time - from_time) * lane.batch / (to_done - from_done))
    return True


def _middle(network: Network) -> str:
    """The middle one of the layers with positions; the output of a network without any."""
    plain = [path for path, layer in network.layers.items() if layer.spatial and layer.kind != "Attention"]
    return plain[len(plain) // 2] if plain else OUTPUT


def _listed(name: str, values: Sequence[Any]) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise InvalidParameter(name, allowed="a sequence of at least one", received=values, fix=f"{name}=[...]")
    return values


def _known(name: str, values: Sequence[str] | None, known: Sequence[str]) -> None:
    for value in [] if values is None else _listed(name, values):
        if value not in known:
            raise InvalidParameter(
                name, allowed=" or ".join(map(repr, known)), received=value, fix="Leave it out, and all are compared."
            )


def _reason(error: Exception) -> str:
    """One line of an error: ours as they are, others with their kind."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:297]}..."
    return text if isinstance(error, PhospheneError) else f"{type(error).__name__}: {text}"
