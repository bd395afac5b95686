"""The activations of a layer as points in two or three dimensions, and linear probes."""

from __future__ import annotations

from phosphene.embedding.call import embed, probe
from phosphene.embedding.result import Embedding

__all__ = ["Embedding", "embed", "probe"]
