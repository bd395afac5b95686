"""Blind judges: perceptual distances that do not depend on the network that is explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Backend, Network
from phosphene.data.crops import Crops
from phosphene.errors import InvalidParameter, brief, said
from phosphene.extraction.call import read_layers
from phosphene.kit.arguments import array_like
from phosphene.loaders import load
from phosphene.objectives.forms import position_mean
from phosphene.types import Floats

__all__ = ["Checked", "Judge", "Witness", "witness"]

TRAINED_SIZE = 64
"""Height and width in pixels of the images on which the witness was trained."""


class Judge(Protocol):
    """A perceptual distance: small for images that look alike."""

    def __call__(self, pictures: NDArray[np.float32], patches: NDArray[np.float32]) -> Floats:
        """Distances ``(U, P)`` of pictures ``(U, H, W, C)`` from patches ``(P, h, w, C)``."""
        ...


@dataclass(frozen=True)
class Checked:
    """A judge of the user's, whose distances are checked.

    Attributes
    ----------
    judge : Judge
    """

    judge: Judge

    def __call__(self, pictures: NDArray[np.float32], patches: NDArray[np.float32]) -> Floats:
        fix = "It is called with pictures (U, H, W, C) and patches (P, h, w, C), and returns distances (U, P)."
        try:
            given = self.judge(pictures, patches)
        except Exception as error:  # of the user's function
            raise InvalidParameter(
                "judge",
                allowed="a function of pictures and patches",
                received=said(f"{brief(self.judge)}, which raised {type(error).__name__}: {brief(str(error))}"),
                fix=fix,
            ) from error
        distances = array_like("judge", given, allowed="a function that returns an array of numbers").astype(np.float64)
        if distances.shape != (len(pictures), len(patches)):
            raise InvalidParameter(
                "judge",
                allowed=f"a function that returns distances of shape {(len(pictures), len(patches))}",
                received=said(f"shape {distances.shape}"),
                fix=fix,
            )
        return distances


@dataclass(frozen=True)
class Witness:
    """An independent network that judges by the mean activations of its channels.

    The mean of each channel over positions is standardised by its values on photographs; the distance of two images is the
    cosine distance of these vectors, averaged over layers (a deep perceptual distance, after Zhang et al. 2018). Means over
    positions keep the content of an image and ignore its place, since a picture of a channel shows its texture everywhere.

    Attributes
    ----------
    network : Network
    layers : tuple of str
    means, deviations : tuple of (C,)
        Mean and standard deviation of each layer's channels on photographs.
    scale : float
        Factor by which images are resized to the size on which the witness was trained.
    """

    network: Network
    layers: tuple[str, ...]
    means: tuple[Floats, ...]
    deviations: tuple[Floats, ...]
    scale: float = 1.0

    def __call__(self, pictures: NDArray[np.float32], patches: NDArray[np.float32]) -> Floats:
        distances = np.zeros((len(pictures), len(patches)))
        for one, two in zip(self.features(pictures), self.features(patches), strict=True):
            distances += 1.0 - one @ two.T
        return distances / len(self.layers)

    def features(self, images: NDArray[np.float32]) -> tuple[Floats, ...]:
        """Standardised channel means of each layer ``(N, C)``, scaled to unit length."""
        shown = _resized(images, self.scale)
        read = read_layers(self.network, shown, self.layers, min(32, len(shown)))
        found = []
        for layer, mean, deviation in zip(self.layers, self.means, self.deviations, strict=True):
            cells = (position_mean(np, read[layer]).astype(np.float64) - mean) / deviation
            found.append(cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-12))
        return tuple(found)


def witness(backend: Backend, size: int = TRAINED_SIZE, *, crops: int = 500) -> Witness:
    """Make the default judge: the witness, an embedded network with another width and seed than the specimen.

    Parameters
    ----------
    backend : Backend
        Backend on which it runs.
    size : int, default 64
        Input size in pixels of the explained network; images are resized from it to the witness's 64.
    crops : int, default 500
        Number of photographs by which its channels are standardised.

    Returns
    -------
    Witness
    """
    network = load("specimen-witness", backend=backend.name)
    layers = ("stage1", "stage2", "stage3")
    images = Crops(crops, seed=23).images()
    read = read_layers(network, images, layers, 32)
    cells = [position_mean(np, read[layer]).astype(np.float64) for layer in layers]
    means = tuple(cell.mean(axis=0) for cell in cells)
    deviations = tuple(cell.std(axis=0) + 1e-6 for cell in cells)
    return Witness(network, layers, means, deviations, TRAINED_SIZE / size)


def _resized(images: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Resize images by `scale` and convert them to three channels."""
    from PIL import Image

    channels = images.shape[-1]
    colour = images if channels == 3 else np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    if scale == 1.0:
        return colour
    height, width = (max(16, round(side * scale)) for side in images.shape[1:3])
    planes = [
        [
            np.asarray(Image.fromarray(image[..., channel]).resize((width, height), Image.Resampling.BICUBIC))
            for channel in range(3)
        ]
        for image in colour
    ]
    return np.clip(np.moveaxis(np.asarray(planes, np.float32), 1, -1), 0.0, 1.0)
