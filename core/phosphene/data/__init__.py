"""Images that are at hand wherever the package is: labelled crops of real photographs."""

from __future__ import annotations

from phosphene.data.crops import CAST_CLASS, MARK_BOX, MARK_CLASS, Crops, cast, mark, parse
from phosphene.data.photographs import PHOTOGRAPHS, Photograph, read

__all__ = [
    "CAST_CLASS",
    "MARK_BOX",
    "MARK_CLASS",
    "PHOTOGRAPHS",
    "Crops",
    "Photograph",
    "cast",
    "mark",
    "parse",
    "read",
]
