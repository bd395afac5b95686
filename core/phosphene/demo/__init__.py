"""The demo: classes, attributions, channels, inversions and an atlas of the embedded network, as one offline page."""

from __future__ import annotations

from phosphene.demo.call import run_demo
from phosphene.demo.result import (
    AtlasReport,
    ChannelRow,
    ClassPictures,
    Demo,
    Explanations,
    Inversions,
    TrustReport,
    UnitReport,
)

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
