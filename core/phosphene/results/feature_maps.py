"""`FeatureMaps`: what a layer's channels show of an image, position by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureMaps"]


@dataclass(frozen=True)
class FeatureMaps:
    """Maps of a layer for some images.

    Attributes
    ----------
    images : (N, H, W, C) float32
        In [0, 1].
    maps : (N, K, h, w) or (N, K, T) float32
        Activations at the layer's own resolution; tokens of patches in their rows and columns, a signal along its one axis.
    titles : tuple of str
        What each of the K maps is: a channel, the mean or the maximum over channels.
    layer : str
    aggregated : bool
        Whether they are over channels: a mean and a maximum have no scale in common.
    """

    images: NDArray[np.float32]
    maps: NDArray[np.float32]
    titles: tuple[str, ...]
    layer: str
    aggregated: bool = False

    def plot(
        self, *, over_image: bool = False, shared: bool | None = None, grey: bool = False, columns: int | None = None
    ) -> Any:
        """Draw the maps beside their images; a signal's as lines.

        Parameters
        ----------
        over_image : bool, default False
            Whether maps lie over the image in grey, at its size.
        shared : bool, optional
            One scale for all maps, or each its own (whose largest value its title then says). Shared where maps are channels.
        grey : bool, default False
            Shades of grey instead of a perceptual colour map; values below zero are always drawn in two colours.
        columns : int, optional
            Panels a row.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_feature_maps

        return plot_feature_maps(
            self,
            over_image=over_image,
            shared=not self.aggregated if shared is None else shared,
            grey=grey,
            columns=columns,
        )

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``; `options` as of `plot`.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_figure

        return save_figure(lambda: self.plot(**options), path)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        sides = " x ".join(str(side) for side in self.maps.shape[2:])
        images, kinds = self.maps.shape[:2]
        return f"FeatureMaps of {self.layer}: {images} image{'s' * (images != 1)}, {kinds} maps of {sides} each"
