"""Activations of layers, in memory or streamed into a store."""

from __future__ import annotations

from phosphene.extraction.call import activations

__all__ = ["activations"]
