"""Pictures made from a photograph: DeepDream and feature accentuation."""

from __future__ import annotations

from phosphene.photographs.accentuation import accentuate
from phosphene.photographs.deepdream import dream
from phosphene.photographs.result import Accentuation

__all__ = ["Accentuation", "accentuate", "dream"]
