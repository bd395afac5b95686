"""What calls bring back: frozen data that knows how to draw, save and describe itself."""

from __future__ import annotations

from phosphene.results.accentuation import Accentuation
from phosphene.results.attribution import Attribution
from phosphene.results.comparison import Comparison
from phosphene.results.concept import Concept
from phosphene.results.diagnosis import Diagnosis, Finding
from phosphene.results.embedding import Embedding
from phosphene.results.feature_maps import FeatureMaps
from phosphene.results.features import Features
from phosphene.results.quiz import Quiz
from phosphene.results.renders import Renders, as_picture, from_picture, joined
from phosphene.results.trust_cards import TrustCard, TrustCards
from phosphene.results.units import Units

__all__ = [
    "Accentuation",
    "Attribution",
    "Comparison",
    "Concept",
    "Diagnosis",
    "Embedding",
    "FeatureMaps",
    "Features",
    "Finding",
    "Quiz",
    "Renders",
    "TrustCard",
    "TrustCards",
    "Units",
    "as_picture",
    "from_picture",
    "joined",
]
