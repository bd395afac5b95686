"""The networks that come with the package, so that a first look needs no download."""

from __future__ import annotations

from phosphene.specimen.architecture import ARCHITECTURES, Architecture, parameter_count
from phosphene.specimen.weights import load, metadata

__all__ = ["ARCHITECTURES", "Architecture", "load", "metadata", "parameter_count"]
