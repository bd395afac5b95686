"""Colours of cells without pictures, as those of an atlas of texts are: by the class that comes first, else by region."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASE", "category_colours", "colour_cells"]

BASE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)], np.float64
)  # fmt: skip
"""Seven colours that colour-blind eyes tell apart (Okabe and Ito 2008), without black."""

SHADES = ((0.0, 0.0), (0.0, 0.4), (255.0, 0.45))
"""As they are, darker and lighter: what is mixed in, and how much of it."""

NONE = 128
"""Grey: nothing is sure of the cell."""


def category_colours(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A colour for each number, ``(N, 3)``; after 21 they come again. Grey for those below 0."""
    numbers = np.asarray(numbers)
    shade = numbers // len(BASE) % len(SHADES)
    mixed, part = np.array(SHADES)[shade].T
    found = BASE[numbers % len(BASE)] * (1 - part[:, None]) + (mixed * part)[:, None]
    found[numbers < 0] = NONE
    colours: NDArray[np.uint8] = found.round().astype(np.uint8)
    return colours


def colour_cells(columns: dict[str, NDArray[Any]], texts: bool) -> tuple[NDArray[np.uint8], str]:
    """A colour for each cell, and what it is of.

    Parameters
    ----------
    columns : dict of str to numpy.ndarray
        Of a level: its groups, with their labels where there are some, and "cluster" where there are regions.
    texts : bool
        Whether labels are of the user's texts.

    Returns
    -------
    numpy.ndarray (M, 3)
        Grey where nothing is known of the cells.
    str
        "class", "text" or "region"; empty where nothing is known.
    """
    if "group.class" in columns:
        first = columns["groups"][:-1].astype(np.int64)
        best = columns["group.class"].reshape(len(columns["group.claimed"]), -1)[first, 0].astype(np.int64)
        return category_colours(np.where(columns["group.claimed"][first] > 0, best, -1)), "text" if texts else "class"
    if "cluster" in columns:
        return category_colours(columns["cluster"].astype(np.int64)), "region"
    return category_colours(np.full(len(columns["kind"]), -1)), ""
