"""Feature maps: the activations of a layer's channels on images, as maps."""

from __future__ import annotations

from phosphene.channel_maps.call import feature_maps
from phosphene.channel_maps.result import FeatureMaps

__all__ = ["FeatureMaps", "feature_maps"]
