"""Randomness on the host, keyed by content.

Every small draw is made here with NumPy's counter-based Philox generator, keyed by the user's seed, by what the draw is for,
and by what the target *is*, never by its place in a list or its batch. So a target sees the same draws alone or in company, on
either framework.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from phosphene.arrays import tree_leaves
from phosphene.errors import InvalidParameter

__all__ = ["content_key", "generator", "integer"]


def generator(seed: int, *content: str) -> np.random.Generator:
    """A generator that depends on the seed and the content alone.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    *content : str
        What is drawn and for whom; equal content gives equal draws.

    Returns
    -------
    numpy.random.Generator
        Over Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
    """
    digest = hashlib.blake2b("\x1f".join((str(seed), *content)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))


def content_key(form: object, arguments: Any, occurrence: int = 0) -> str:
    """What a target is, as a string: its static form, its arguments' bytes, and how many equal ones came before it."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in tree_leaves(arguments):
        array = np.ascontiguousarray(leaf)
        digest.update(str((array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return f"{form!r}|{digest.hexdigest()}|{occurrence}"


def integer(name: str, value: Any, *, minimum: int = 0) -> int:
    """`value` as an integer of at least `minimum`, or `InvalidParameter`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise InvalidParameter(
            name,
            allowed=f"an integer of at least {minimum}",
            received=value,
            fix=f"For example {name}={max(minimum, 1)}.",
        )
    return int(value)
