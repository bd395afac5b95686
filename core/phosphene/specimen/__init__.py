"""The networks that are included in the package, so that no download is needed."""

from __future__ import annotations

from phosphene.specimen.architecture import ARCHITECTURES, Architecture, parameter_count
from phosphene.specimen.weights import load, metadata

__all__ = ["ARCHITECTURES", "Architecture", "load", "metadata", "parameter_count"]
