"""The gradient-ascent engine: a static program (`Ascent`), targets, a plan, and what comes back (`Ascended`)."""

from __future__ import annotations

from phosphene.ascent.driver import ascend
from phosphene.ascent.measuring import MEASURED, fastest_slots
from phosphene.ascent.pipeline import Pipeline, cropped, pipeline, window_of
from phosphene.ascent.program import Ascended, Ascent, Plan, Progress, Target

__all__ = [
    "MEASURED",
    "Ascended",
    "Ascent",
    "Pipeline",
    "Plan",
    "Progress",
    "Target",
    "ascend",
    "cropped",
    "fastest_slots",
    "pipeline",
    "window_of",
]
