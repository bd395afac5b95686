"""Memory that is kept from one step to the next instead of being given back and fetched anew."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable, Iterator

__all__ = ["kept"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""

LARGEST = 1 << 25
"""Bytes up to which a block may come from the heap; glibc moves its own threshold up to here, as blocks are freed."""

ALL = (1 << 31) - 1


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """A context in which glibc keeps freed memory; elsewhere nothing.

    Activations are made and freed at every step. Blocks of their size come from the system, page by page, and go back when they
    are freed: that was a fifth of a step of ResNet-50 at batch 8 on two cores. On leaving, the thresholds are those that glibc
    itself arrives at in a process that frees large blocks, so what follows gives memory back as before.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, ALL)
    try:
        yield
    finally:
        mallopt(TRIM_THRESHOLD, 2 * LARGEST)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  absent in musl, whose allocator has no such switch
        found: Callable[[int, int], int] = library.mallopt
    except (OSError, AttributeError):
        return None
    return found
