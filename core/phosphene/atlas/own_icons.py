"""Icons by a function of the user's own, for activations that no image network made: sounds, words, graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.atlas.atlas import Atlas
from phosphene.atlas.cells import Grid, Level
from phosphene.atlas.icon_set import groups_of, step_name
from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["own_icons"]

Draw = Callable[[NDArray[np.float32], list[NDArray[np.int64]]], ArrayLike]
Read = Callable[[NDArray[np.uint8]], ArrayLike]


def own_icons(atlas: Atlas, layer: str, draw: Draw, *, name: str, read: Read | None = None) -> Atlas:
    """Icons of all groups of a layer's map by a function.

    Parameters
    ----------
    atlas : Atlas
        One that was charted.
    layer : str
    draw : callable
        ``draw(means (G, C), members) -> images (G, H, W, channels)`` of one level: bytes, or floats in [0, 1], all of one size.
        `members` are, group by group, the numbers of its points.
    name : str
        What to call the function: a run that finds icons of another name refuses them.
    read : callable, optional
        ``read(images) -> activations (G, C)``: what the model sees in an icon, from which its fidelity follows; that is NaN when
        absent.

    Returns
    -------
    Atlas
        The same, with `Atlas.icons`.

    Raises
    ------
    InvalidParameter
        For a layer that was not charted, and for results of another shape, dtype or range.
    OtherStore
        When the folder holds icons of another name.
    """
    kept = atlas.steps.read(f"grid.{layer}")
    for level in Grid.of(kept.arrays).levels:
        make = partial(_made, level, draw, read)
        atlas.steps.keep(step_name(layer, level.size, 0), {"function": name}, kept.identity, make)
    return atlas


def _made(level: Level, draw: Draw, read: Read | None) -> dict[str, NDArray[Any]]:
    groups = groups_of(level)
    means = level.group_means[groups]
    images = _images(draw(means, [level.members_of_group(int(group)) for group in groups]), len(means))
    seen = np.full(means.shape, np.nan, np.float32)
    if read is not None:
        seen = np.asarray(read(images), np.float32)
        if seen.shape != means.shape:
            raise InvalidParameter(
                "read", allowed=f"activations of shape {means.shape}", received=said(f"shape {seen.shape}"), fix=""
            )
    nothing = np.zeros(len(means), np.int32)
    return {"groups": groups, "images": images, "activations": seen, "evaluations": nothing, "tries": nothing + 1}


def _images(given: ArrayLike, count: int) -> NDArray[np.uint8]:
    images = np.asarray(given)
    if images.ndim != 4 or len(images) != count or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise InvalidParameter(
            "draw", allowed=f"images ({count}, H, W, 1, 3 or 4)", received=said(f"shape {images.shape}"), fix=""
        )
    if images.dtype == np.uint8:
        return images
    values: Floats = np.asarray(images, np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise InvalidParameter(
            "draw", allowed="bytes, or floats in [0, 1]", received=said(f"{values.min():g} to {values.max():g}"), fix=""
        )
    return np.round(values * 255).astype(np.uint8)
