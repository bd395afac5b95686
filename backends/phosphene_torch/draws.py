"""The random numbers that a model draws while it runs: seed them, and tell whether there are any."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from phosphene_torch.placement import generator_states

__all__ = ["seeded"]


@contextlib.contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[Callable[[], bool]]:
    """A context in which the generators of PyTorch, NumPy and Python start from `seed`; it yields whether any has been used.

    The states of NumPy and Python are restored on exit. Those of PyTorch are not: see `phosphene_torch.placement.random_state`.

    Parameters
    ----------
    device : torch.device
        The device whose generator is seeded, beside that of the host.
    seed : int
    """
    # A model may draw from the generators that these packages share.
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    before = _states(device)
    try:
        yield lambda: _states(device) != before
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002


def _states(device: torch.device) -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return (
        *(state.numpy().tobytes() for state in generator_states(device)),
        kind,
        np.asarray(keys).tobytes(),
        *rest,
        random.getstate(),
    )
