"""The networks that come with the package, so that a first look needs no download."""

from __future__ import annotations

from phosphene.specimen.architecture import ARCHITECTURES, Architecture
from phosphene.specimen.weights import load

__all__ = ["ARCHITECTURES", "Architecture", "load"]
