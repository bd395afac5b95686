"""Statistics of the channels of a layer over a data set: how often and how strongly each responds, and to which images."""

from __future__ import annotations

from phosphene.unit_statistics.call import units
from phosphene.unit_statistics.result import Units

__all__ = ["Units", "units"]
