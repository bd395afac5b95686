"""Icons drawn by a user's function, for activations of models of other data: sounds, texts, graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.atlas import Atlas, an_atlas
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.icon_set import groups_of, step_name
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import text
from phosphene.types import Floats

__all__ = ["own_icons"]

Draw = Callable[[NDArray[np.float32], list[NDArray[np.int64]]], ArrayLike]
Read = Callable[[NDArray[np.uint8]], ArrayLike]


def own_icons(atlas: Atlas, layer: str, draw: Draw, *, name: str, read: Read | None = None) -> Atlas:
    """Draw the icons of all groups of a layer's map by a function.

    Parameters
    ----------
    atlas : Atlas
        An atlas with a map of this layer; see `phosphene.atlas.chart`.
    layer : str
    draw : callable
        ``draw(means (G, C), members) -> images (G, H, W, channels)``, called once per level. Images are uint8, or floats in
        [0, 1], all of one size. `members` has the indices of the points of each group.
    name : str
        Name of the function. Icons of another name in the folder are not overwritten.
    read : callable, optional
        ``read(images) -> activations (G, C)``: the model's activations for the icons, from which their fidelity is computed
        (default: fidelity is NaN).

    Returns
    -------
    Atlas
        The same atlas, with `Atlas.icons`.

    Raises
    ------
    InvalidParameter
        For a layer without a map, and for results of a wrong shape, dtype or range.
    OtherStore
        When the folder holds icons of another name.
    """
    text("layer", layer, fix="`Atlas.layers` lists them.")
    text("name", name, fix="Name the function, so that its icons are told from others.")
    for given, function in (("draw", draw), ("read", read)):
        if not callable(function) and not (given == "read" and function is None):
            raise InvalidParameter(
                given,
                allowed="a function",
                received=function,
                fix="help(phosphene.atlas.own_icons) says what it is given.",
            )
    kept = an_atlas(atlas).steps.read(f"grid.{layer}")
    for level in kept.made(Grid.of).levels:
        make = partial(_made, level, draw, read)
        atlas.steps.keep(step_name(layer, level.size, 0), {"function": name}, kept.identity, make)
    return atlas


def _made(level: Level, draw: Draw, read: Read | None) -> dict[str, NDArray[Any]]:
    groups = groups_of(level)
    means = level.group_means[groups]
    images = _images(draw(means, [level.members_of_group(int(group)) for group in groups]), len(means))
    seen = np.full(means.shape, np.nan, np.float32)
    if read is not None:
        seen = array_like("read", read(images), allowed="a function that returns an array of numbers").astype(
            np.float32
        )
        if seen.shape != means.shape:
            raise InvalidParameter(
                "read",
                allowed=f"activations of shape {means.shape}",
                received=said(f"shape {seen.shape}"),
                fix="Return one activation per image.",
            )
    nothing = np.zeros(len(means), np.int32)
    return {"groups": groups, "images": images, "activations": seen, "evaluations": nothing, "tries": nothing + 1}


def _images(given: ArrayLike, count: int) -> NDArray[np.uint8]:
    images = array_like("draw", given, allowed="a function that returns an array of images")
    if images.ndim != 4 or len(images) != count or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise InvalidParameter(
            "draw",
            allowed=f"images of shape ({count}, H, W, C) with 1, 3 or 4 channels",
            received=said(f"shape {images.shape}"),
            fix="Return one image per group, with channels last.",
        )
    if images.dtype == np.uint8:
        return images
    values: Floats = np.asarray(images, np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise InvalidParameter(
            "draw",
            allowed="uint8 images, or floats in [0, 1]",
            received=said(f"values from {values.min():g} to {values.max():g}"),
            fix="Clip or rescale the images to [0, 1].",
        )
    return np.round(values * 255).astype(np.uint8)
