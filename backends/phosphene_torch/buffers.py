"""Buffers of a model that changes them in evaluation mode, such as the statistics of a normalisation in training mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["restored"]


@contextlib.contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """A context on whose exit all buffers that a pass has changed in place hold their earlier values."""
    with torch.no_grad():
        # By value: an update by a normalisation's kernel is not counted as a change.
        kept = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                if buffer.shape == value.shape and not torch.equal(buffer, value):
                    buffer.copy_(value)
