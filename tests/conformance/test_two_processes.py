"""Two processes on one store, sheet, atlas or file, and processes that are killed at any moment: nothing dies, nothing is lost."""

from __future__ import annotations

import errno
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import many_processes
import phosphene as ph
from built_atlases import CHART
from many_processes import WORKS, killed, pair, same, start, whole
from phosphene.atlas import Atlas, chart
from phosphene.backend import Network
from phosphene.kit.locks import alone
from phosphene.store import ArraySpec, Manifest, Store

pytest.importorskip("zarr")
pytest.importorskip("sklearn")

LOCK = ".manifest.json.lock"
SLOW = pytest.mark.slow

# PHOSPHENE_PROCESSES=whole tries 40 pairs and 20 moments, which takes a quarter of an hour.
WHOLE = os.environ.get("PHOSPHENE_PROCESSES") == "whole"
PAIRS, MOMENTS = (40, 20) if WHOLE else (6, 4)


def installed(backend: str) -> str:
    pytest.importorskip(backend)
    return backend


@pytest.fixture(params=["torch", "jax"])
def framework(request: pytest.FixtureRequest) -> str:
    """Each framework in turn."""
    return installed(request.param)


@pytest.mark.parametrize("count", [2, pytest.param(PAIRS, marks=SLOW)])
def test_pairs_that_start_a_store_at_one_moment(framework: str, tmp_path: Path, count: int) -> None:
    whole("activations", framework, tmp_path / "whole")
    for number in range(count):
        pair("activations", framework, tmp_path / str(number))
        same("activations", tmp_path / str(number), tmp_path / "whole")


@SLOW
@pytest.mark.parametrize("work", ["sheet", "atlas", "render"])
def test_pairs_that_start_other_work_at_one_moment(framework: str, tmp_path: Path, work: str) -> None:
    whole(work, framework, tmp_path / "whole")
    for number in range(2):
        pair(work, framework, tmp_path / str(number))
        same(work, tmp_path / str(number), tmp_path / "whole")


def kills(work: str, backend: str, folder: Path, count: int) -> None:
    """Kill processes at so many random moments, five in a folder, before one is left alone."""
    random = np.random.default_rng(list(work.encode()))
    seconds, done, number = whole(work, backend, folder / "whole"), 0, 0
    while done < count:
        place, number = folder / str(number), number + 1
        for _ in range(min(5, count - done)):
            if not killed(work, backend, place, float(random.uniform(0, seconds))):
                break
            done += 1
        whole(work, backend, place)
        same(work, place, folder / "whole")


@pytest.mark.parametrize("work", ["activations", "sheet", "render"])
def test_killed_at_a_random_moment(tmp_path: Path, work: str) -> None:
    kills(work, installed("torch"), tmp_path, 1)


@SLOW
@pytest.mark.parametrize("work", WORKS)
def test_killed_at_random_moments(tmp_path: Path, work: str) -> None:
    kills(work, installed("torch"), tmp_path, MOMENTS)


@SLOW
@pytest.mark.parametrize("work", WORKS)
def test_killed_at_random_moments_on_jax(tmp_path: Path, work: str) -> None:
    kills(work, installed("jax"), tmp_path, MOMENTS if WHOLE else 2)


def test_one_that_waits_for_a_killed_one_goes_on(tmp_path: Path) -> None:
    """The first is frozen in the middle, so that the second has to wait for it; then it is killed."""
    backend = installed("torch")
    whole("activations", backend, tmp_path / "whole")
    for attempt in range(20):  # the first may be done before it is frozen
        place, log = tmp_path / str(attempt), tmp_path / f"second-{attempt}.log"
        begun = many_processes.server().Event()
        first = start("activations", backend, place, begun.set, tmp_path / "first.log")
        assert begun.wait(many_processes.LATEST) and first.pid is not None
        while first.is_alive() and not list(place.glob("shards/*.json")):
            time.sleep(0.001)
        if first.is_alive() and (place / LOCK).exists():
            os.kill(first.pid, signal.SIGSTOP)
            if not Store.open(place).complete:
                break
        first.kill()
    second = start("activations", backend, place, begun.set, log)
    words = f"waiting for process {first.pid}, at work on activations since"
    end = time.monotonic() + 60
    while not (log.exists() and words in log.read_text()):
        assert second.is_alive() and time.monotonic() < end
        time.sleep(0.05)
    first.kill()
    second.join(many_processes.LATEST)
    assert second.exitcode == 0
    same("activations", place, tmp_path / "whole")


def stop(state: ph.Progress) -> bool:
    assert "waiting for" in state.message
    return False


def network(backend: str) -> Network:
    return many_processes.network(backend)  # type: ignore[no-any-return]


def test_a_wait_for_a_store_can_be_stopped_and_another_run_is_refused_without_one(backend: str, tmp_path: Path) -> None:
    loaded, pictures = network(backend), many_processes.images(8)
    Store.create(tmp_path / "other", Manifest("activations", 3, 1, {"a": ArraySpec((2,))}))
    with alone(tmp_path / "s" / LOCK, "something"), alone(tmp_path / "other" / LOCK, "something"):
        part = ph.activations(loaded, pictures, "output", out=tmp_path / "s", progress=stop)
        assert not part.complete
        with pytest.raises(ph.errors.OtherStore):
            ph.activations(loaded, pictures, "output", out=tmp_path / "other")
    found = ph.activations(loaded, pictures, "output", out=tmp_path / "s")
    np.testing.assert_array_equal(found.read("output"), ph.activations(loaded, pictures, "output")["output"])


def test_a_wait_for_a_sheet_can_be_stopped(costly_backend: str, tmp_path: Path) -> None:
    loaded = network(costly_backend)
    with (
        alone(tmp_path / LOCK, "something"),
        pytest.raises(ph.errors.InvalidParameter, match="Call it again to resume"),
    ):
        ph.render_all(loaded, "norm", tmp_path, channels=[1], steps=1, progress=stop)
    assert len(ph.render_all(loaded, "norm", tmp_path, channels=[1], steps=1, progress=False).status) <= 1


def test_a_wait_for_a_step_of_an_atlas_can_be_stopped(tmp_path: Path) -> None:
    rows = np.abs(np.random.default_rng(0).normal(size=(300, 6))).astype(np.float32)
    atlas, states = Atlas.from_activations({"a": rows}, tmp_path, logits=rows), []

    def stop_waiting(state: ph.Progress) -> bool:
        states.append(state)
        return "waiting for" not in state.message

    with alone(atlas.steps.folder / ".layout.a.lock", "step 'layout.a'"):
        chart(atlas, settings=CHART, progress=stop_waiting)
    assert atlas.steps.names == ("moments.a", "neighbours.a") and [state.done for state in states] == [1, 2, 2]
    chart(atlas, settings=CHART, progress=False)
    assert "clusters.a" in atlas.steps.names


def test_what_is_complete_needs_no_lock(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, pictures = network(backend), many_processes.images(8)
    rows = np.abs(np.random.default_rng(0).normal(size=(300, 6))).astype(np.float32)

    def run() -> tuple[Any, Atlas]:
        atlas = Atlas.from_activations({"a": rows}, tmp_path / "atlas", logits=rows)
        return ph.activations(loaded, pictures, "output", out=tmp_path / "s"), chart(
            atlas, settings=CHART, progress=False
        )

    run()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def refuse(*given: Any, **more: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("tempfile.TemporaryFile", "tempfile.mkstemp", "filelock.FileLock.acquire"):
        monkeypatch.setattr(name, refuse)
    store, atlas = run()
    assert store.complete and "clusters.a" in atlas.steps.names
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_what_a_killed_process_left_is_no_obstacle(backend: str, tmp_path: Path) -> None:
    """Killed while it created the folder, and while it wrote."""
    loaded, pictures = network(backend), many_processes.images(8)
    place = tmp_path / "s"
    (place / "arrays" / "output").mkdir(parents=True)
    for name in (
        ".manifest.json.new.lock",
        ".manifest.json.new.owner",
        LOCK,
        ".manifest.json.owner",
        ".manifest.json.x7",
    ):
        (place / name).write_text("half")
    assert ph.activations(loaded, pictures, "output", out=place).complete
    (place / "shards" / "000000.json").unlink()
    (place / LOCK).write_text("")
    assert ph.activations(loaded, pictures, "output", out=place).complete
    assert not (place / LOCK).exists()


def test_creating_a_store_from_many_threads(tmp_path: Path) -> None:
    manifest = Manifest("activations", 40, 1, {"a": ArraySpec((2,))}, {"model": "m"})

    def work(number: int) -> None:
        store = Store.create(tmp_path / "s", manifest)
        for shard in range(number, 40, 8):
            store.write(shard, {"a": np.full((1, 2), shard, np.float32)})

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    store = Store.open(tmp_path / "s")
    assert store.complete and store.verify() == []
    np.testing.assert_array_equal(store.read("a")[:, 0], np.arange(40))
