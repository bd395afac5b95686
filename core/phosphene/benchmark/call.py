"""`bench`: time the steps of renders on each backend, device and precision."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from phosphene.ascent import Plan
from phosphene.backend import Network, backend_names
from phosphene.benchmark.devices import DTYPES, networks_of
from phosphene.benchmark.result import Benchmark, Row
from phosphene.errors import InvalidParameter, ModelFailed, PhospheneError
from phosphene.kit.arguments import capped
from phosphene.kit.checks import canvas_size, choice, integers, names, pair_of, text
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.kit.provenance import describe
from phosphene.layers import OUTPUT
from phosphene.objectives import channel
from phosphene.rendering.call import render
from phosphene.types import Size

__all__ = ["bench"]

MOST_STEPS, MOST_ROUNDS, MOST_BATCH = 10_000, 10_000, 1 << 16
"""Largest numbers of steps and of runs, and largest batch."""

LEAD = Plan.chunk
"""Number of first steps of each run that are not timed, since they include the preparation of the ascent."""


@dataclass
class _Lane:
    """The measurements of one combination and batch size."""

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
            reason = "stopped before it was measured"
        return Row(
            self.backend,
            self.device,
            self.dtype,
            self.batch,
            () if reason else tuple(self.seconds),
            self.first_seconds,
            self.peak_bytes,
            reason,
        )


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
    """Time the steps of `phosphene.render` on each backend, device and precision of this machine.

    The steps are those of the default recipe for channels of one layer, without warm-up, compilation and preparation. The runs of
    all combinations alternate, so that other load on the machine affects all of them equally.

    Parameters
    ----------
    model : str, model or Network
        A name for `phosphene.load`, a model for `phosphene.wrap`, or a Network, of which only its own combination is timed.
    layer : str, optional
        Path of the layer whose channels are maximised (default: the middle one of the layers with positions).
    batches : sequence of int, default (1, 8, 32)
        Batch sizes.
    size : int or (int, int), optional
        Height and width of the pictures in pixels (default: the network's native size).
    steps : int, default 32
        Number of steps timed in each run.
    rounds : int, default 5
        Number of timed runs of each combination, at least 3; one more run before them is not timed.
    backends, devices, dtypes : sequence of str, optional
        Combinations to compare (default: every backend that has the model; the CPU and the first device of each other kind;
        "float32" and "bfloat16", and "float16" on devices other than the CPU).
    options : mapping, optional
        Further arguments of `phosphene.load` or `phosphene.wrap`: ``{"weights": "random"}``, ``{"size": 224}``.
    progress : callable or bool, optional
        A function of `Progress` that may return False to stop. True or False show or hide a progress bar.

    Returns
    -------
    Benchmark
        Combinations that could not be measured have a row with the reason.

    Raises
    ------
    InvalidParameter
        If a parameter is invalid.
    PhospheneError
        If no combination could be measured: the error of the first one.

    Notes
    -----
    JAX reserves most of a GPU's memory when it starts, which leaves little for PyTorch, unless the environment variable
    ``XLA_PYTHON_CLIENT_PREALLOCATE`` is ``false``.
    """
    steps = capped("steps", steps, minimum=1, most=MOST_STEPS)
    rounds = capped("rounds", rounds, minimum=3, most=MOST_ROUNDS)
    wide = integers("batches", batches, minimum=1, maximum=MOST_BATCH)
    if not wide:
        raise InvalidParameter(
            "batches", allowed="at least one batch size", received=batches, fix="For example [1, 8]."
        )
    backends = _known("backends", backends, backend_names())
    dtypes = _known("dtypes", dtypes, DTYPES)
    devices = _known("devices", devices, None)
    if layer is not None:
        text("layer", layer, fix="net.layers lists the paths of all layers.")
    if size is not None:
        pair_of("size", size, minimum=2)
    check_progress(progress)
    if options is not None and not (isinstance(options, Mapping) and all(isinstance(name, str) for name in options)):
        raise InvalidParameter(
            "options",
            allowed="a mapping of arguments of ph.load or ph.wrap",
            received=options,
            fix='For example options={"size": 224}.',
        )
    given = dict(options or {})
    for name in ("backend", "device", "dtype"):
        if name in given:
            raise InvalidParameter(
                "options", allowed=f"a mapping without {name!r}", received=given, fix=f"Pass {name}s=[...] instead."
            )
    networks, refused = networks_of(model, backends, devices, dtypes, given)
    if not networks:
        raise refused[0][1]
    first = next(iter(networks.values()))
    canvas = canvas_size(first, size)
    layer = _middle(first) if layer is None else first.layers[layer].path
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
    lanes: Sequence[_Lane],
    layer: str,
    canvas: Size,
    steps: int,
    rounds: int,
    progress: Callable[[Progress], bool | None] | bool | None,
) -> None:
    """Run all combinations once per round, starting with a different one in each round."""
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
                except Exception as error:  # noqa: BLE001  (errors about memory or precision are results)
                    lane.error = error
                    finished = True
                message = f"{lane.backend} {lane.device} {lane.dtype}, batch {lane.batch}"
                state = Progress(done, total, "runs", time.perf_counter() - started, message)
                if tell(state) is False or not finished:
                    return


def _run(lane: _Lane, layer: str, canvas: Size, steps: int, *, counted: bool) -> bool:
    """Render once, and return whether the render was completed."""
    marks: list[tuple[int, float]] = []
    network = lane.network
    channels = network.layers[layer].channels
    objectives = [channel(layer, index % channels) for index in range(lane.batch)]

    def mark(state: Progress) -> None:
        marks.append((state.done, time.perf_counter()))

    before, started = network.backend.memory(network.device, reset=True), time.perf_counter()
    renders = render(network, objectives, size=canvas, steps=LEAD + steps, slots=lane.batch, warm_up=0, progress=mark)
    whole, after = time.perf_counter() - started, network.backend.memory(network.device)
    if "interrupted" in renders.status:
        return False
    if "nonfinite" in renders.status:
        raise ModelFailed(f"the objective was not finite in {lane.dtype}, so no picture could be rendered.")
    if before is not None and after is not None and after[1] > before[1]:
        lane.peak_bytes = max(lane.peak_bytes or 0, after[1] - before[0])
    if not counted:
        lane.first_seconds = whole
        return True
    (from_done, from_time), (to_done, to_time) = marks[0] if len(marks) > 1 else (0, started), marks[-1]
    lane.seconds.append((to_time - from_time) * lane.batch / (to_done - from_done))
    return True


def _middle(network: Network) -> str:
    """Return the middle one of the layers with positions; the output if there are none."""
    plain = [path for path, layer in network.layers.items() if layer.spatial and layer.kind != "Attention"]
    return plain[len(plain) // 2] if plain else OUTPUT


def _known(name: str, values: Any, known: Sequence[str] | None) -> tuple[str, ...] | None:
    """Check names of what is compared; a single one counts as a sequence of one, and None stands for all."""
    if values is None:
        return None
    fix = f"Leave {name} out to compare all."
    given = names(name, values, fix=fix)
    if not given:
        raise InvalidParameter(name, allowed="at least one name, or None", received=values, fix=fix)
    for value in given if known is not None else ():
        choice(name, value, known or (), fix=fix)
    return given


def _reason(error: Exception) -> str:
    """Return an error in one line; errors of other packages with their class."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:297]}..."
    return text if isinstance(error, PhospheneError) else f"{type(error).__name__}: {text}"
