"""The PyTorch backend: an implementation of `phosphene.backend`."""

from __future__ import annotations

from phosphene_torch.backend import TorchBackend

__all__ = ["backend"]

backend = TorchBackend()
