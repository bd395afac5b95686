"""Comparison of networks: pictures of the same targets, and the similarity of layers and channels over the same images."""

from __future__ import annotations

from phosphene.comparison.call import compare
from phosphene.comparison.similarity import cka

__all__ = ["cka", "compare"]
