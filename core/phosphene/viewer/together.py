"""Several atlases of the same images on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phosphene.atlas.atlas import Atlas
from phosphene.errors import InvalidParameter, said
from phosphene.viewer.gathering import Columns, narrow

__all__ = ["check_beside", "image_columns"]


def check_beside(atlas: Atlas, other: Atlas, name: str) -> None:
    """Raise `InvalidParameter` unless two atlases are of the same images and the same classes, as far as they know them."""
    mine, theirs = (dict(each.store.manifest.identity).get("data") for each in (atlas, other))
    # One from activations holds digests of its arrays there, and its images are what its maker says they are.
    if isinstance(mine, str) and isinstance(theirs, str) and mine != theirs:
        raise InvalidParameter(
            "beside", allowed="atlases of the same images", received=said(f"{name!r}, of {theirs}, and not of {mine}"),
            fix="Collect both from the same data.",
        )  # fmt: skip
    if atlas.classes and other.classes and atlas.classes != other.classes:
        raise InvalidParameter(
            "beside", allowed="atlases with the same classes", received=said(f"{name!r}, with others"),
            fix="Write a page of its own.",
        )  # fmt: skip


def image_columns(atlases: Sequence[Atlas]) -> list[Columns]:
    """Which image each point is of, counted from 0 over all atlases; with the first the images' own numbers, where these differ."""
    each = [atlas.images() for atlas in atlases]
    numbers = np.unique(np.concatenate(each))
    columns: list[dict[str, Any]] = [{"image": narrow(np.searchsorted(numbers, images))} for images in each]
    if len(numbers) and (numbers[0] != 0 or numbers[-1] != len(numbers) - 1) and numbers[0] >= 0:
        columns[0]["number"] = narrow(numbers) if numbers[-1] < 2**32 else numbers.astype(np.float64)
    return columns
