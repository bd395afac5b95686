"""The first look: the embedded network's classes, attributions, channels, inversions and atlas, as one offline page."""

from __future__ import annotations

from phosphene.demo.declarations import (
    AtlasReport,
    ChannelRow,
    ClassPictures,
    Demo,
    Explanations,
    Inversions,
    TrustReport,
    UnitReport,
)
from phosphene.demo.running import run_demo

__all__ = [
    "AtlasReport",
    "ChannelRow",
    "ClassPictures",
    "Demo",
    "Explanations",
    "Inversions",
    "TrustReport",
    "UnitReport",
    "run_demo",
]
