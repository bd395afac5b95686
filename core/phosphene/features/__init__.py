"""Features as directions in a layer's channel space, found by factorizing its activations."""

from __future__ import annotations

from phosphene.features.call import factorize
from phosphene.features.result import Features

__all__ = ["Features", "factorize"]
