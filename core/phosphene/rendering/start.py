"""The parameters that an ascent starts from, if pictures are given to start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phosphene.backend import InputSpec
from phosphene.data.declaration import ImagesLike
from phosphene.data.in_memory import read_images
from phosphene.data.sources import source_of
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import floats
from phosphene.parameterizations import Parameterization
from phosphene.parameterizations.contract import Canvas
from phosphene.rendering.result import Renders
from phosphene.rendering.serialization import to_plain
from phosphene.types import Floats, Size

__all__ = ["starts"]


def starts(
    start: Renders | ImagesLike | None, count: int, spec: InputSpec, size: Size, parameterization: Parameterization
) -> list[Floats] | None:
    """Initial parameters, one array per objective.

    Parameters
    ----------
    start : Renders, images or None
        Pictures, one per objective or one for all of them: a result, or anything that `phosphene.images` takes. A result of the
        same parameterization gives its parameters; other pictures are converted to the parameterization.
    count : int
        Number of objectives.
    spec : InputSpec
        Input of the network.
    size : (int, int)
        Height and width of the pictures, to which pictures and files are fitted.
    parameterization : Parameterization

    Returns
    -------
    list of array, or None
        None if `start` is None: initial parameters are random.

    Raises
    ------
    InvalidParameter
        If the pictures have another size or number or values outside [0, 1], or if the parameterization cannot represent them.
    """
    if start is None:
        return None
    canvas: Canvas = (*size, spec.channels)
    if isinstance(start, Renders) and start.parameters is not None and start.images.shape[1:] == canvas:
        _check_count(len(start), count)
        if _made_by(start.settings, parameterization):
            return _one_each(list(start.parameters), count)
    exact = isinstance(start, Renders) or (isinstance(start, np.ndarray) and start.dtype.kind == "f")
    if not exact:
        source = source_of(start, spec, size=size, parameter="start")
        _check_count(len(source), count)  # before any of them is read
        start = read_images(source, spec, parameter="start", size=size)
    images = floats("start", start.images if isinstance(start, Renders) else start)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[1:] != canvas:
        raise InvalidParameter(
            "start",
            allowed=f"pictures (N, {canvas[0]}, {canvas[1]}, {canvas[2]})",
            received=said(f"shape {images.shape}"),
            fix=f"Resize them, or give size={images.shape[1:3]}.",
        )
    if not np.all((images >= 0) & (images <= 1)):
        raise InvalidParameter(
            "start",
            allowed="values in [0, 1]",
            received=said(f"{images.min():g} to {images.max():g}"),
            fix="Divide values of 0 to 255 by 255.",
        )
    _check_count(len(images), count)
    return _one_each([parameterization.encode(image) for image in images], count)


def _made_by(settings: Mapping[str, Any], parameterization: Parameterization) -> bool:
    """Whether the parameters of a result are of that parameterization."""
    older = settings.get("recipe")  # results of earlier versions keep the repr of each part
    if isinstance(older, Mapping):
        return bool(older.get("parameterization") == repr(parameterization))
    run = settings.get("run")
    recipe = run.get("recipe") if isinstance(run, Mapping) else None
    return isinstance(recipe, Mapping) and recipe.get("parameterization") == to_plain(parameterization)


def _check_count(given: int, count: int) -> None:
    if given not in (1, count):
        several = count != 1
        raise InvalidParameter(
            "start",
            allowed=f"{count} picture{'s' * several} (one per objective)" + ", or 1 for all of them" * several,
            received=said(f"{given}"),
            fix="Give one picture per objective.",
        )


def _one_each(given: list[Floats], count: int) -> list[Floats]:
    return given * count if len(given) == 1 else given
