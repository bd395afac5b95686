"""Problems with a network or an objective, found before anything is rendered."""

from __future__ import annotations

from phosphene.diagnosis.call import diagnose
from phosphene.diagnosis.result import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "diagnose"]
