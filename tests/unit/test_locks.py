"""One process at a time: who waits, for whom, and until when; with locks of the system and without."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phosphene import errors
from phosphene.kit import locks
from phosphene.kit.locks import Owner, Stopped, alone
from phosphene.kit.progress import Progress

NOW = "2031-05-06T12:03:00"
OWNING = """
import errno, os, socket, sys, time
from pathlib import Path
from phosphene.kit import locks
path, unsupported, host, lease = Path(sys.argv[1]), *sys.argv[2:]
if unsupported:
    import fcntl
    def refuse(*given):
        raise OSError(int(unsupported), os.strerror(int(unsupported)))
    fcntl.flock = refuse
if host:
    socket.gethostname = lambda: host
locks.LEASE = float(lease)
with locks.alone(path, "activations in shop", total=10, unit="shards") as say:
    say(4)
    print("ready", flush=True)
    time.sleep(60)
"""

FORKING = """
    child = os.fork()
    if child:
        print(child, flush=True)
"""


@contextmanager
def owner(
    path: Path, unsupported: int | str = "", host: str = "", lease: float = 60
) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock."""
    arguments = [sys.executable, "-c", OWNING, str(path), str(unsupported), host, str(lease)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture(params=["flock", "ENOSYS", "ENOTSUP", "ENOLCK"])
def unsupported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | str:
    """What the file system says to `flock`: nothing against it, or that it cannot."""
    fcntl = pytest.importorskip("fcntl")
    if request.param == "flock":
        return ""
    number = int(getattr(errno, request.param))

    def refuse(*given: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return number


def until(happened: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_threads_are_never_two_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsupported: int | str
) -> None:
    monkeypatch.setattr(locks, "EVERY", 0.001)
    inside, most, entered = [0], [0], []

    def work(number: int) -> None:
        for _ in range(10):
            with alone(tmp_path / ".store.lock", "work"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1
                entered.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and sorted(entered) == sorted([0, 1, 2, 3] * 10)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_who_waits_says_for_whom_and_can_be_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, unsupported: int | str
) -> None:
    monkeypatch.setattr(locks, "QUIET", 0.0)
    monkeypatch.setattr(locks, "EVERY", 0.01)
    states: list[Progress] = []

    def told(state: Progress) -> bool:
        states.append(state)
        return len(states) < 3

    with owner(tmp_path / ".store.lock", unsupported) as other:
        with pytest.raises(Stopped), alone(tmp_path / ".store.lock", "work", told):
            raise AssertionError("two inside")
        words = f"waiting for process {other.pid}, at work on activations in shop since "
        assert len(states) == 3 and (states[0].done, states[0].total, states[0].unit) == (4, 10, "shards")
        assert states[0].message.startswith(words) and states[0].message.endswith("(4 of 10 shards)")
        assert caplog.text.count(words) == 1 and str(tmp_path) in caplog.text


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, RuntimeError])
def test_a_wait_is_left_by_an_exception(tmp_path: Path, leaving: type[BaseException]) -> None:
    def told(state: Progress) -> None:
        raise leaving

    with owner(tmp_path / ".store.lock"), pytest.raises(leaving), alone(tmp_path / ".store.lock", "work", told):
        raise AssertionError("two inside")


def test_an_owner_that_is_killed_is_followed(tmp_path: Path, unsupported: int | str) -> None:
    path, entered = tmp_path / ".store.lock", threading.Event()

    def work() -> None:
        with alone(path, "work"):
            entered.set()

    with owner(path, unsupported) as other:
        waiting = threading.Thread(target=work)
        waiting.start()
        time.sleep(0.5)
        assert not entered.is_set()
        other.send_signal(signal.SIGKILL)
        other.wait()
        waiting.join(30)
    assert entered.is_set() and list(tmp_path.iterdir()) == []


def test_a_child_of_a_killed_owner_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Such as a worker that reads images, which outlives the process that forked it."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    path = tmp_path / ".store.lock"
    script = OWNING.replace('    print("ready", flush=True)', FORKING)
    arguments = [sys.executable, "-c", script, str(path), "", "", "60"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        child = int(other.stdout.readline())
        try:
            other.kill()
            other.wait()
            os.kill(child, 0)  # it is alive
            with alone(path, "work"):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_an_owner_that_raises_or_is_interrupted_is_followed(tmp_path: Path, unsupported: int | str) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), alone(tmp_path / ".store.lock", "work"):
            raise error
        assert list(tmp_path.iterdir()) == []


def test_an_owner_on_another_machine_that_gives_no_sign_of_life_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*given: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks, "LEASE", 1.5)
    path, entered = tmp_path / ".store.lock", threading.Event()

    def work() -> None:
        with alone(path, "work"):
            entered.set()

    with owner(path, errno.ENOLCK, "faraway", 1.5) as other:
        waiting = threading.Thread(target=work)
        waiting.start()
        time.sleep(3)
        assert not entered.is_set()  # it is kept fresh for as long as it lives
        other.kill()
        waiting.join(30)
    assert entered.is_set()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UnwritablePath, match="file"), alone(tmp_path / "file" / ".store.lock", "work"):
        pass
    fcntl = pytest.importorskip("fcntl")

    def refuse(*given: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(errors.UnwritablePath, match=os.strerror(errno.EIO)), alone(tmp_path / ".store.lock", "work"):
        pass


def test_a_note_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".store.owner").mkdir()
    with alone(tmp_path / ".store.lock", "work") as say:
        say(3)


GOOD = {"pid": 12, "host": "h", "work": "w", "since": NOW, "done": 1, "total": 2, "unit": "shards"}


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Owner(12, "faraway", "activations in shop", NOW, 1, 2000, "shards")
    written.write(tmp_path / "x.owner")
    assert Owner.read(tmp_path / "x.owner") == written
    assert (
        str(written)
        == "process 12 on faraway, at work on activations in shop since 2031-05-06 12:03 (1 of 2,000 shards)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        "null",
        "[" * 4000,
        '"' + "x" * 10_000 + '"',
        "\xff",
        *(
            json.dumps({**GOOD, **change})
            for change in (
                {"pid": "12"},
                {"pid": True},
                {"pid": -1},
                {"host": None},
                {"host": "\x1b[2Jh"},
                {"work": "two\nlines"},
                {"work": "\u202eodd"},
                {"since": "yesterday"},
                {"since": 5},
                {"done": 1.5},
                {"total": []},
                {"more": 1},
            )
        ),
        json.dumps({key: value for key, value in GOOD.items() if key != "since"}),
    ],
)
def test_a_note_that_is_none_is_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.owner").write_bytes(text.encode("latin-1" if text == "\xff" else "utf-8"))
    assert Owner.read(tmp_path / "x.owner") is None
    assert Owner.read(tmp_path / "nowhere.owner") is None
