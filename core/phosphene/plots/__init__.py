"""Results as figures (matplotlib, the extra ``plot``)."""

from __future__ import annotations

from phosphene.plots.accentuation import plot_accentuation
from phosphene.plots.attribution import plot_attribution
from phosphene.plots.embedding import plot_embedding
from phosphene.plots.feature_maps import plot_feature_maps
from phosphene.plots.features import plot_concept, plot_features
from phosphene.plots.renders import plot_renders
from phosphene.plots.trust_cards import plot_trust_cards
from phosphene.plots.units import plot_units

__all__ = [
    "plot_accentuation",
    "plot_attribution",
    "plot_concept",
    "plot_embedding",
    "plot_feature_maps",
    "plot_features",
    "plot_renders",
    "plot_trust_cards",
    "plot_units",
]
