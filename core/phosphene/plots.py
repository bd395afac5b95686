"""Results as figures (matplotlib, the extra ``plot``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.errors import MissingDependency
from phosphene.results import as_picture

if TYPE_CHECKING:
    from phosphene.results import Renders

__all__ = ["plot_renders"]


def plot_renders(renders: Renders, *, columns: int | None = None, titles: bool = True) -> Any:
    """See `phosphene.results.Renders.plot`."""
    figure_class = _figure_class()
    count = len(renders)
    wide = columns or max(1, math.ceil(math.sqrt(count)))
    high = max(1, math.ceil(count / wide))
    figure = figure_class(figsize=(1.8 * wide, (2.1 if titles else 1.8) * high), layout="constrained")
    axes = np.atleast_1d(figure.subplots(high, wide)).ravel()
    for axis in axes:
        axis.axis("off")
    for index in range(count):
        picture = as_picture(renders.images[index])
        grey = picture.shape[-1] == 1
        axes[index].imshow(picture[..., 0] if grey else picture, cmap="gray" if grey else None, vmin=0, vmax=1)
        if titles:
            note = "" if renders.status[index] in ("budget", "converged") else f" ({renders.status[index]})"
            axes[index].set_title(f"{renders.labels[index]}\n{renders.values[index]:.3g}{note}", fontsize=8)
    return figure


def _figure_class() -> Any:
    """A figure without pyplot: no window, no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("matplotlib", "plot") from error
    return Figure
