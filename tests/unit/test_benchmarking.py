"""Backends, devices and precisions against each other: what is compared, what is said of it, and what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phosphene as ph
from columns import BACKENDS
from phosphene.backend import Network
from phosphene.benchmark import Benchmark, Row
from phosphene.benchmark import call as racing
from phosphene.errors import InvalidParameter, ModelFailed, UnknownLayer

QUICK: dict[str, Any] = {"batches": [1, 2], "size": 16, "steps": 2, "rounds": 3, "layer": "stem", "progress": False}


def row(backend: str, seconds: tuple[float, ...], batch: int = 1, **more: Any) -> Row:
    return Row(backend, "cpu", "float32", batch, seconds, **more)


def benchmark(*rows: Row) -> Benchmark:
    return Benchmark("model", "stage1", (16, 24), 2, 3, rows, {"numpy": "2"}, {"cpus": 2}, "2026-01-01T00:00:00+00:00")


@pytest.mark.needs("half precision")
def test_the_network_of_each_backend_and_precision_is_timed(costly_backend: str, tmp_path: Path) -> None:
    found = ph.bench("specimen", backends=[costly_backend], devices=["cpu"], **{**QUICK, "batches": [2]})
    assert [(item.combination, item.batch) for item in found.rows] == [
        ((costly_backend, "cpu", dtype), 2) for dtype in ("float32", "bfloat16")
    ]
    for item in found.rows:
        assert item.reason == "" and len(item.seconds) == 3 and min(item.seconds) > 0
        assert item.images_per_second == pytest.approx(item.batch / np.median(item.seconds))
    assert found.fastest is not None and found.fastest.images_per_second == max(
        item.images_per_second for item in found.rows
    )
    assert (found.layer, found.size, found.steps, found.rounds) == ("stem", (16, 16), 2, 3)
    assert set(found.versions) >= {"phosphene", "numpy", costly_backend}
    assert "is fastest" in found.verdict and found.verdict in found.table() and repr(found) == found.table()
    saved = json.loads(found.save(tmp_path / "a/x.json").read_text())
    assert saved["rows"][saved["fastest"]]["images_per_second"] == found.fastest.images_per_second
    assert saved["verdict"] == found.verdict and saved["size"] == [16, 16]
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["x.json"]


def test_runs_take_turns(specimen: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[int, bool]] = []

    def run(lane: Any, *given: Any, counted: bool) -> bool:
        turns.append((lane.batch, counted))
        lane.seconds.extend([1.0] if counted else [])
        return True

    monkeypatch.setattr(racing, "_run", run)
    found = ph.bench(specimen, **QUICK)
    assert turns == [(1, False), (2, False), (2, True), (1, True), (1, True), (2, True), (2, True), (1, True)]
    assert [item.seconds for item in found.rows] == [(1.0,) * 3] * 2


def test_the_steps_are_those_of_render(load: Callable[..., Network], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, dict[str, Any]]] = []

    def render(network: Network, objectives: list[Any], **given: Any) -> Any:
        calls.append((len(objectives), given))
        return ph.render(network, objectives, **given)

    monkeypatch.setattr(racing, "render", render)
    ph.bench(load("specimen", "torch"), **{**QUICK, "batches": [40]})
    for count, given in calls:
        assert count == given["slots"] == 40  # more than the layer's 24 channels
        assert given["size"] == (16, 16) and given["steps"] == racing.LEAD + 2
        assert not {"preset", "parameterization", "transforms", "regularizers", "optimizer"} & set(given)


def test_the_middle_layer_with_positions_is_taken(specimen: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "_run", lambda lane, *given, counted: lane.seconds.append(1.0) or True)
    assert ph.bench(specimen, **{**QUICK, "layer": None}).layer == "stage2.conv2"


def test_what_is_not_available_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    honest = racing._run

    def run(lane: Any, *given: Any, counted: bool) -> bool:
        if lane.dtype == "bfloat16":
            raise RuntimeError("no kernel\nfor this precision")
        return honest(lane, *given, counted=counted)

    monkeypatch.setattr(racing, "_run", run)
    found = ph.bench("specimen", backends=["torch"], devices=["cpu", "cuda:99"], **QUICK)
    reasons = {(item.device, item.dtype): item.reason for item in found.rows}
    assert reasons["cpu", "float32"] == ""
    assert reasons["cpu", "bfloat16"] == "RuntimeError: no kernel for this precision"
    assert reasons["cuda:99", "float32"].startswith("device: expected 'cpu'")
    assert "not available: torch cuda:99 float32: device: expected 'cpu'" in found.table()
    assert found.fastest is not None and found.fastest.dtype == "float32"


def test_a_model_of_one_framework_says_so_of_the_other() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3)).eval()
    found = ph.bench(model, dtypes=["float32"], devices=["cpu"], options={"size": 16}, **{**QUICK, "layer": "0"})
    others = len(BACKENDS) - 1
    assert [item.reason for item in found.rows] == ["", "", *["The model is one of torch."] * others]
    assert next(model.parameters()).dtype == torch.float32


def test_a_value_that_is_not_finite_is_no_time() -> None:
    torch = pytest.importorskip("torch")

    class Overflowing(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x * 1e30 * 1e30

    with pytest.raises(ModelFailed, match="not finite in float32"):
        ph.bench(
            torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Overflowing()).eval(),
            backends=["torch"],
            dtypes=["float32"],
            devices=["cpu"],
            options={"size": 16},
            **{**QUICK, "layer": "1"},
        )


def test_a_callback_sees_every_run_and_may_stop(load: Callable[..., Network]) -> None:
    seen: list[Any] = []

    def progress(state: Any) -> bool:
        seen.append((state.done, state.total, state.unit))
        return state.done < 3

    found = ph.bench(load("specimen", "torch"), **{**QUICK, "progress": progress})
    assert seen == [(1, 8, "runs"), (2, 8, "runs"), (3, 8, "runs")]
    assert [item.reason for item in found.rows] == ["stopped before it was measured", ""]
    assert found.fastest is found.rows[1]


def test_the_verdict_gives_ratios_between_combinations() -> None:
    fast, wide, slow = row("jax", (0.1, 0.1, 0.2)), row("jax", (0.8,) * 3, 4), row("torch", (0.4, 0.4, 0.5))
    assert benchmark(slow, wide, fast).verdict == (
        "jax cpu float32, batch 1 is fastest: 10 images per second, 4.00 times the next combination (torch cpu float32, batch 1)."
    )
    assert "within the spread" in benchmark(fast, row("torch", (0.12, 0.15, 0.2))).verdict
    other = Row("other", None, None, 1, (1.0,) * 3)
    assert "and 10.00 times the slowest (other, batch 1)" in benchmark(slow, other, fast).verdict
    assert "nothing else could be compared" in benchmark(fast, wide).verdict
    assert benchmark().fastest is None and benchmark().verdict == "Nothing was measured."


def test_bounded_threads_are_said() -> None:
    measured = row("torch", (0.1,) * 3)
    assert "OMP" not in benchmark(measured).table()
    assert "OMP_NUM_THREADS=1 limits" in replace(benchmark(measured), machine={"threads": "1"}).table()


def test_memory_is_shown_where_it_is_told() -> None:
    text = benchmark(row("jax", (0.1,) * 3, peak_bytes=3 << 20), row("torch", (0.1,) * 3)).table()
    assert "3 MiB" in text and "unknown" in text and "16 x 24" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rounds": 2}, "rounds: expected an integer of at least 3, got 2"),
        ({"steps": 0}, "steps: expected an integer of at least 1"),
        ({"batches": []}, "batches: expected at least one batch size"),
        ({"batches": [0]}, "batches: expected an integer from 1 to"),
        ({"backends": ["theano"]}, "backends: expected 'torch', 'jax'"),
        ({"dtypes": ["int8"]}, "dtypes: expected 'float32'"),
        ({"devices": ["moon"]}, "device: expected 'cpu'"),
        ({"size": 1}, "size: expected pixels"),
        ({"options": {"dtype": "float32"}}, "options: expected a mapping without 'dtype'"),
    ],
)
def test_bad_parameters_are_refused(given: dict[str, Any], message: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(InvalidParameter) as caught:
        ph.bench("specimen", **{**QUICK, "backends": ["torch"], **given})
    assert message in str(caught.value)


def test_names_that_are_nowhere_are_refused(load: Callable[..., Network], tmp_path: Path) -> None:
    specimen = load("specimen", "torch")
    with pytest.raises(InvalidParameter, match="name: expected 'specimen'"):
        ph.bench("specimens", **QUICK)
    with pytest.raises(UnknownLayer, match="no layer 'stage9'"):
        ph.bench(specimen, **{**QUICK, "layer": "stage9"})
    with pytest.raises(InvalidParameter, match="nothing for a Network"):
        ph.bench(specimen, dtypes=["float32"], **QUICK)
    with pytest.raises(InvalidParameter, match=r"ends in \.json"):
        benchmark().save(tmp_path / "x.csv")
