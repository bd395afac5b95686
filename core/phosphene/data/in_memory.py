"""Images in memory, as one array: what every call that needs all images at once reads them with."""

from __future__ import annotations

import logging
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import InputSpec
from phosphene.data.sources import source_of
from phosphene.data.streams import loaded
from phosphene.errors import CorruptFile, InvalidParameter, said
from phosphene.kit.images import check_images
from phosphene.types import Size

__all__ = ["read_images", "read_photograph"]

LOG = logging.getLogger("phosphene")


def read_images(
    images: Any,
    spec: InputSpec,
    *,
    parameter: str = "images",
    size: Size | None = None,
    count: int | None = None,
    executor: Executor | None = None,
    on_error: str = "raise",
) -> NDArray[np.float32]:
    """Read images into one array ``(N, H, W, C)`` of float32 in [0, 1].

    Parameters
    ----------
    images : object
        Anything that `phosphene.images` takes, or its result.
    spec : InputSpec
        Input of the network.
    parameter : str, default "images"
        Name of the argument in messages.
    size : (int, int), optional
        Height and width that the images must have; pictures and files are fitted to it (default: pictures and files have those of
        `spec`, arrays any).
    count : int, optional
        Number of images to use (default: all).
    executor, on_error
        See `phosphene.activations`.

    Returns
    -------
    numpy.ndarray (N, H, W, C) float32

    Raises
    ------
    InvalidImages
        For images of the wrong shape, dtype or range.
    InvalidParameter
        For something that holds no images.
    CorruptFile
        For a file that cannot be read, or if none can.
    """
    whole = isinstance(images, np.ndarray) and (images.ndim == 4 or (images.ndim == 3 and spec.channels != 1))
    if whole and count is None and images.dtype != object and not isinstance(images, np.ma.MaskedArray):
        return check_images(images, spec, parameter=parameter, size=size)
    source = source_of(images, spec, size=size, count=count, parameter=parameter)
    array = loaded(source, size, spec.channels, executor=executor, on_error=on_error)
    if len(array) < len(source):
        LOG.warning("%d of %d images could not be read and were skipped", len(source) - len(array), len(source))
    if not len(array):
        raise CorruptFile(source.name(0), f"cannot be read, and neither can any other of the {len(source)} images")
    return array


def read_photograph(
    image: Any, spec: InputSpec, *, size: Size | None = None, own_size: bool = False, parameter: str = "image"
) -> NDArray[np.float32]:
    """Read one image as ``(H, W, C)`` of float32 in [0, 1].

    Parameters
    ----------
    image : object
        Anything that `phosphene.images` takes, if it is one image.
    spec : InputSpec
        Input of the network.
    size : (int, int), optional
        Height and width that the image must have; a picture or a file is fitted to it.
    own_size : bool, default False
        Whether a picture or a file keeps its own size, if neither `size` nor a resizing rule is stated.
    parameter : str, default "image"
        Name of the argument in messages.

    Returns
    -------
    numpy.ndarray (H, W, C) float32

    Raises
    ------
    InvalidParameter
        For several images, before they are read, and for something that holds none.
    InvalidImages
        For an image of the wrong shape, dtype or range.
    CorruptFile
        For a file that cannot be read.
    """
    whole = isinstance(image, np.ndarray) and image.ndim == 3
    source = image if whole else source_of(image, spec, size=size, own_size=own_size, parameter=parameter)
    if not whole and len(source) != 1:
        raise InvalidParameter(
            parameter,
            allowed="one photograph",
            received=said(f"{len(source)}"),
            fix=f"Run the call once for each, for example with {parameter}[0] of a list.",
        )
    found: NDArray[np.float32] = read_images(source, spec, size=size, parameter=parameter)[0]
    return found
