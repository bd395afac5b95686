"""The gradient-ascent engine: a static program (`Ascent`), targets, a plan, and what comes back (`Ascended`)."""

from __future__ import annotations

from phosphene.ascent.driver import ascend
from phosphene.ascent.pipeline import growth, pipeline
from phosphene.ascent.program import Ascended, Ascent, Plan, Progress, Target

__all__ = ["Ascended", "Ascent", "Plan", "Progress", "Target", "ascend", "growth", "pipeline"]
