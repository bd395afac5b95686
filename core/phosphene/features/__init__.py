"""Features that are directions of a layer, not single channels: found by factorisation, or read off examples of a concept."""

from __future__ import annotations

from phosphene.features.concepts import concept
from phosphene.features.factorizing import factorize
from phosphene.results.concept import Concept
from phosphene.results.features import Features

__all__ = ["Concept", "Features", "concept", "factorize"]
