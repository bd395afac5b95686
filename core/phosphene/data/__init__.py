"""Image sources: arrays, files, iterables, and labelled crops of the photographs that come with other packages."""

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
