"""`FeatureMaps`: the activations of a layer's channels, position by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.arguments import optional_integer
from phosphene.kit.checks import MOST_COLUMNS, boolean
from phosphene.kit.result import FIGURES, Result
from phosphene.words import plain_message

__all__ = ["FeatureMaps"]


@dataclass(frozen=True)
class FeatureMaps(Result):
    """Maps of a layer for some images.

    Attributes
    ----------
    images : (N, H, W, C) float32
        In [0, 1].
    maps : (N, K, h, w), (N, K, T) or (N, K, ..., h, w) float32
        Activations at the layer's own resolution: patch tokens in rows and columns, a signal along its one axis, a volume
        slice by slice.
    titles : tuple of str
        What each of the K maps shows: a channel, or the mean or the maximum over channels.
    layer : str
    aggregated : bool
        Whether the maps are aggregated over channels: a mean and a maximum have no common scale.
    """

    kind: ClassVar[str] = "feature maps"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)

    images: Annotated[NDArray[np.float32], "N H W C"]
    maps: Annotated[NDArray[np.float32], "N K ..."]
    titles: Annotated[tuple[str, ...], "K"]
    layer: str
    aggregated: bool = False

    def plot(
        self, *, over_image: bool = False, shared: bool | None = None, grey: bool = False, columns: int | None = None
    ) -> Any:
        """Draw the maps beside their images, the values of a signal as lines, and a volume as its slices side by side.

        Parameters
        ----------
        over_image : bool, default False
            Whether to draw the maps over the image in grey, at its size; not for signals and volumes.
        shared : bool, optional
            Whether all maps have one scale; otherwise each title states the map's largest value (default: True for channels,
            False for a mean and a maximum).
        grey : bool, default False
            Whether to draw in shades of grey instead of a perceptually uniform colour map; maps with negative values always
            have a diverging one.
        columns : int, optional
            Panels per row (default: one row per image, or a near-square grid for a single image).
        """
        from phosphene.channel_maps.figure import plot_feature_maps

        shared = not self.aggregated if shared is None else boolean("shared", shared)
        over_image, grey = boolean("over_image", over_image), boolean("grey", grey)
        columns = optional_integer("columns", columns, minimum=1, maximum=MOST_COLUMNS)
        return plot_feature_maps(self, over_image=over_image, shared=shared, grey=grey, columns=columns)

    def __repr__(self) -> str:
        sides = " x ".join(str(side) for side in self.maps.shape[2:])
        images, kinds = self.maps.shape[:2]
        return plain_message(
            f"FeatureMaps of {self.layer}: {images} image{'s' * (images != 1)}, {kinds} maps of {sides} each"
        )
