"""One process at a time: the others wait, say for whom, and go on as soon as it is done, stopped or killed."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from phosphene.errors import UnwritablePath
from phosphene.kit.progress import Progress, Teller, reporter
from phosphene.kit.writing import check_writable

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["Owner", "Stopped", "alone"]

LOG = logging.getLogger("phosphene")

EVERY = 0.2
"""Seconds between two attempts to take a lock."""

QUIET = 1.0
"""Seconds of waiting of which nothing is said."""

LEASE = 60.0
"""Seconds without a sign of life after which an owner on another machine is considered dead, where locks are files only."""

LONGEST = 4096
"""Bytes of a note that are read."""

UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What file systems answer that cannot lock files, such as some network drives."""


class Stopped(Exception):
    """The progress callback ended the wait for another process. Caught by the function that was given the callback."""


@dataclass(frozen=True)
class Owner:
    """A note beside a lock, which tells others who holds it.

    Attributes
    ----------
    pid : int
        Number of the process.
    host : str
        Name of its machine.
    work : str
        What it does, such as ``"activations"``.
    since : str
        When it began, in the ISO format.
    done, total : int
        Units of its work that are finished, and in total.
    unit : str
        Name of the unit of work, in the plural.
    """

    pid: int
    host: str
    work: str
    since: str
    done: int = 0
    total: int = 0
    unit: str = "steps"

    def write(self, path: Path) -> None:
        """Write the note to `path` if possible: nothing but what the others say depends on it."""
        with suppress(OSError):
            path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Owner | None:
        """Read a note; None if there is none, it is being written, or it is not such a note."""
        try:
            with path.open("rb") as stream:
                found = json.loads(stream.read(LONGEST))
            owner = Owner(**found)
            datetime.fromisoformat(owner.since)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        words = (owner.host, owner.work, owner.unit)
        numbers = (owner.pid, owner.done, owner.total)
        # The words are shown in terminals.
        fine = all(isinstance(word, str) and word.isprintable() for word in words)
        return owner if fine and all(type(number) is int and number >= 0 for number in numbers) else None

    def __str__(self) -> str:
        begun = datetime.fromisoformat(self.since)
        when = f"{begun:%H:%M}" if begun.date() == datetime.now().date() else f"{begun:%Y-%m-%d %H:%M}"
        where = "" if self.host == socket.gethostname() else f" on {self.host}"
        far = f" ({self.done:,} of {self.total:,} {self.unit})" if self.total else ""
        return f"process {self.pid}{where}, at work on {self.work} since {when}{far}"


@contextmanager
def alone(
    path: Path,
    work: str,
    progress: Teller | bool | None = False,
    *,
    total: int = 0,
    unit: str = "steps",
) -> Iterator[Callable[[int], None]]:
    """Hold the lock `path`, so that other processes and threads that want it wait; the system releases it if the owner is killed.

    Parameters
    ----------
    path : Path
        The lock, a file that exists only while it is held (or if its owner was killed, which does no harm). Beside it is a note
        with the ending ``.owner``; see `Owner`.
    work : str
        What is done, for the others to say.
    progress : callable, bool or None, default False
        See `phosphene.kit.progress.reporter`; told of the owner's progress while this process waits for it.
    total : int, default 0
        Units of work in total, if it is known.
    unit : str, default "steps"
        Name of the unit of work, in the plural.

    Yields
    ------
    callable
        A function to call with the number of finished units, for the others to say.

    Raises
    ------
    Stopped
        When `progress` ends the wait.
    UnwritablePath
        When the lock cannot be written.
    """
    note = path.with_suffix(".owner")
    lock = _taken(path, note, progress, work)
    begun = datetime.now().isoformat(timespec="seconds")

    def say(done: int) -> None:
        Owner(os.getpid(), socket.gethostname(), work, begun, done, total, unit).write(note)

    try:
        say(0)
        yield say
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        # While it is held: a waiting process that has opened this file finds it unlinked, and opens the next one instead.
        with suppress(OSError):  # Windows removes it on release, and does not let it go before
            path.unlink(missing_ok=True)
        with suppress(OSError):
            lock.release()


def _taken(path: Path, note: Path, progress: Teller | bool | None, work: str) -> BaseFileLock:
    """A lock that this process holds, as soon as it is free."""
    check_writable(path)
    lock = _attempt(path)
    if lock.is_locked:
        return lock
    begin, last = time.monotonic(), ""
    with reporter(progress, work, 0) as tell:
        while not _tried(lock):
            owner, seconds = Owner.read(note), time.monotonic() - begin
            text = f"waiting for {owner or 'another process'}"
            known = text.partition(" (")[0]
            if seconds > QUIET and known != last:
                LOG.warning("%s: %s", path.parent, text)
                last = known
            state = Progress(0, 0, "steps", seconds, text)
            if owner is not None:
                state = Progress(owner.done, owner.total, owner.unit, seconds, text)
            if tell(state) is False:
                raise Stopped(text)
            time.sleep(EVERY)
    return lock


def _attempt(path: Path) -> BaseFileLock:
    """A lock after the first attempt to take it: of the system, or a file that is kept fresh where the system has none."""
    from filelock import FileLock, SoftFileLease

    lock = FileLock(path, fallback_to_soft=False)
    try:
        _tried(lock)
    except UnwritablePath as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in UNSUPPORTED:
            raise
        with suppress(OSError):
            path.unlink(missing_ok=True)
        # If a lease is lost to another process after all, because this one was asleep for a minute, both do the same work: it
        # is written whole, and is the same.
        lease = SoftFileLease(path.with_suffix(".lease"), lease_duration=LEASE)
        _tried(lease)
        return lease
    return lock


def _tried(lock: BaseFileLock) -> bool:
    """Try to take a lock, and say whether this process has it."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except OSError as error:
        raise UnwritablePath(lock.lock_file, f"{error.strerror or error}. Choose another path.") from error
    return True
