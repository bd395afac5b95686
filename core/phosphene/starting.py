"""Where an ascent starts: parameters of pictures that are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from phosphene.errors import InvalidParameter, said
from phosphene.parameterizations import Canvas, Parameterization
from phosphene.results import Renders
from phosphene.types import Floats

__all__ = ["starts"]


def starts(
    start: Renders | ArrayLike | None, count: int, canvas: Canvas, parameterization: Parameterization
) -> dict[int, Floats]:
    """Initial parameters by place in the list of objectives; nothing where they are drawn.

    Parameters
    ----------
    start : Renders, array-like or None
        One picture an objective, or one for all of them.
    count : int
        Objectives.
    canvas : (H, W, C)
        Of the pictures.
    parameterization : Parameterization
        How they are to be written.

    Returns
    -------
    dict of int to array

    Raises
    ------
    InvalidParameter
        For pictures of another size or number, ones outside [0, 1], and a parameterization that no picture can be brought into.
    """
    if start is None:
        return {}
    if isinstance(start, Renders):
        known = start.parameters
        again = start.settings.get("recipe", {}).get("parameterization") == repr(parameterization)
        if known is not None and again and start.images.shape[1:] == canvas:
            _one_each(len(start), count)
            return {index: known[index % len(start)] for index in range(count)}
    images = np.asarray(start.images if isinstance(start, Renders) else start, np.float64)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[1:] != canvas:
        raise InvalidParameter(
            "start", allowed=f"pictures (N, {canvas[0]}, {canvas[1]}, {canvas[2]})", received=said(f"shape {images.shape}"),
            fix=f"Resize them, or give size={images.shape[1:3]}.",
        )  # fmt: skip
    if not np.all((images >= 0) & (images <= 1)):
        raise InvalidParameter(
            "start", allowed="values in [0, 1]", received=said(f"{images.min():g} to {images.max():g}"),
            fix="Divide bytes by 255.",
        )  # fmt: skip
    _one_each(len(images), count)
    encoded = [parameterization.encode(image) for image in images]
    return {index: encoded[index % len(encoded)] for index in range(count)}


def _one_each(given: int, count: int) -> None:
    if given not in (1, count):
        raise InvalidParameter(
            "start", allowed=f"1 or {count} pictures, as many as objectives", received=said(f"{given}"), fix=""
        )
