"""What two or more networks make of the same images, and of the same targets, side by side."""

from __future__ import annotations

from phosphene.comparison.comparing import compare
from phosphene.comparison.similarity import cka

__all__ = ["cka", "compare"]
