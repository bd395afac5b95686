"""Concept activation vectors: whether a layer represents a concept given by examples, and whether a target uses it."""

from __future__ import annotations

from phosphene.concepts.call import concept
from phosphene.concepts.result import Concept

__all__ = ["Concept", "concept"]
