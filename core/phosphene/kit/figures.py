"""Building blocks of figures: grids of axes, images, colour maps and colour bars (matplotlib, the extra ``plot``)."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import MissingDependency
from phosphene.kit.pictures import as_picture

__all__ = [
    "DIVERGING",
    "GREY",
    "SEQUENTIAL",
    "colour_bar",
    "figure_bytes",
    "figure_class",
    "grid",
    "show_image",
]

SEQUENTIAL, DIVERGING, GREY = "magma", "PuOr_r", "gray"
"""Perceptually uniform and safe for colour-blind readers; signed values are orange above zero and purple below."""


@functools.cache
def figure_class() -> Any:
    """Return a class of matplotlib's `Figure` that a notebook shows without pyplot: no window, no global state.

    Raises
    ------
    MissingDependency
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("matplotlib", "plot") from error

    class ShownFigure(Figure):
        """A figure that is displayed where it is the value of a notebook's cell."""

        def _repr_png_(self) -> bytes:
            return figure_bytes(self, "png")

        def __reduce__(self) -> tuple[Any, ...]:
            return _blank, (), self.__getstate__()  # a class that is made here cannot be found by its name

    return ShownFigure


def _blank() -> Any:
    """A figure to which a pickled state is given."""
    return figure_class().__new__(figure_class())


def grid(count: int, columns: int | None, cell: tuple[float, float], *, extra: float = 0.0) -> tuple[Any, list[Any]]:
    """Create a figure and a grid of `count` axes without frames.

    Parameters
    ----------
    count : int
        Number of axes.
    columns : int or None
        Axes per row (default: a near-square grid).
    cell : (float, float)
        Width and height of one of the axes in inches.
    extra : float, default 0
        Additional width of the figure in inches, for a colour bar.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
    """
    wide = columns or max(1, math.ceil(math.sqrt(count)))
    high = max(1, math.ceil(count / wide))
    figure = figure_class()(figsize=(cell[0] * wide + extra, cell[1] * high + 0.2), layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    return figure, list(axes[:count])


def show_image(axis: Any, image: NDArray[np.floating[Any]]) -> None:
    """Draw an image ``(H, W, C)`` in [0, 1]; see `as_picture`."""
    picture = as_picture(image)
    axis.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap=GREY, vmin=0, vmax=1)


def colour_bar(figure: Any, axes: Sequence[Any], label: str, *, cmap: str, vmin: float, vmax: float) -> None:
    """Add one colour bar for all `axes`, on their right."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    high = round(figure.get_size_inches()[1])
    bar = figure.colorbar(
        ScalarMappable(Normalize(vmin, vmax), cmap), ax=list(axes), shrink=min(1.0, 4.0 / max(1, high))
    )
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=7)


def figure_bytes(figure: Any, kind: str) -> bytes:
    """Encode a matplotlib figure as "png", "svg" or "pdf"; equal figures give equal bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Dates and the salt of SVG identifiers would differ each time.
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "phosphene"}):
        figure.savefig(buffer, format=kind, dpi=200, metadata=undated)
    return buffer.getvalue()
