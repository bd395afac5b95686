"""How far to trust a picture, judged by real images, other seeds, held-out transforms, and a blind judge."""

from __future__ import annotations

from phosphene.trust.call import assess
from phosphene.trust.judges import Judge, Witness, witness
from phosphene.trust.quizzes.call import quiz
from phosphene.trust.robustness import robust_values
from phosphene.trust.scores import spectral_slope
from phosphene.trust.verdict import Thresholds

__all__ = ["Judge", "Thresholds", "Witness", "assess", "quiz", "robust_values", "spectral_slope", "witness"]
