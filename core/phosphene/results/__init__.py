"""What calls bring back: frozen data that knows how to draw, save and describe itself."""

from __future__ import annotations

from phosphene.results.attribution import Attribution
from phosphene.results.embedding import Embedding
from phosphene.results.feature_maps import FeatureMaps
from phosphene.results.renders import Renders, as_picture, from_picture
from phosphene.results.units import Units

__all__ = ["Attribution", "Embedding", "FeatureMaps", "Renders", "Units", "as_picture", "from_picture"]
