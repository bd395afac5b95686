"""Random numbers on the host, keyed by content.

Small random arrays are drawn here with NumPy's counter-based Philox generator. Its key is made of the user's seed, the purpose,
and the content of the target, never of its place in a list or a batch. So a target sees the same random numbers alone or in a
batch, on either framework.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from phosphene.arrays import tree_leaves

__all__ = ["content_key", "generator", "short_seed"]


def generator(seed: int, *content: str) -> np.random.Generator:
    """Return a random generator that depends only on the seed and the content.

    Parameters
    ----------
    seed : int
        Random seed; any non-negative integer.
    *content : str
        The purpose and the target; equal content gives equal random numbers.

    Returns
    -------
    numpy.random.Generator
        Based on Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
    """
    digest = hashlib.blake2b("\x1f".join((str(seed), *content)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))


def short_seed(seed: int) -> int:
    """A seed for libraries whose seeds have 32 bits: the seed itself, or one drawn from it where it is larger."""
    return seed if seed < 2**32 else int(generator(seed, "short seed").integers(2**32))


def content_key(form: object, arguments: Any, occurrence: int = 0) -> str:
    """Key of a target: its static form, a hash of its arguments, and the number of equal targets before it."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in tree_leaves(arguments):
        array = np.ascontiguousarray(leaf)
        digest.update(str((array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return f"{form!r}|{digest.hexdigest()}|{occurrence}"
