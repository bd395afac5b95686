"""The gradient-ascent engine: `ascend` runs a `Job` (a static program and its targets) under a `Plan`."""

from __future__ import annotations

from phosphene.ascent.call import ascend
from phosphene.ascent.program import AppliedRule, Ascended, Job, Measured, Plan, Program, Target, View

__all__ = ["AppliedRule", "Ascended", "Job", "Measured", "Plan", "Program", "Target", "View", "ascend"]
