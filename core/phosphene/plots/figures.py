"""What all figures share: a grid of axes, images, colour maps and their bars (matplotlib, the extra ``plot``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import MissingDependency
from phosphene.results import as_picture

__all__ = ["DIVERGING", "GREY", "SEQUENTIAL", "colour_bar", "figure_class", "grid", "show_image"]

SEQUENTIAL, DIVERGING, GREY = "magma", "PuOr_r", "gray"
"""Perceptual, and told apart by the colour-blind; of signed values orange is above zero, purple below."""


def figure_class() -> Any:
    """A figure without pyplot: no window, no global state.

    Raises
    ------
    MissingDependency
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("matplotlib", "plot") from error
    return Figure


def grid(count: int, columns: int | None, cell: tuple[float, float], *, extra: float = 0.0) -> tuple[Any, list[Any]]:
    """A figure and its `count` axes without frames, in rows of `columns` (about a square when absent).

    `cell` is the width and height of one in inches, `extra` the width beside them all.
    """
    wide = columns or max(1, math.ceil(math.sqrt(count)))
    high = max(1, math.ceil(count / wide))
    figure = figure_class()(figsize=(cell[0] * wide + extra, cell[1] * high + 0.2), layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    return figure, list(axes[:count])


def show_image(axis: Any, image: NDArray[np.floating[Any]]) -> None:
    """An image ``(H, W, C)`` as a person can look at it."""
    picture = as_picture(image)
    axis.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap=GREY, vmin=0, vmax=1)


def colour_bar(figure: Any, axes: Sequence[Any], label: str, *, cmap: str, vmin: float, vmax: float) -> None:
    """One bar for all `axes`, at the right."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    high = round(figure.get_size_inches()[1])
    bar = figure.colorbar(
        ScalarMappable(Normalize(vmin, vmax), cmap), ax=list(axes), shrink=min(1.0, 4.0 / max(1, high))
    )
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=7)
