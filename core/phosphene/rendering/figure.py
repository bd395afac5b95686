"""The figure of `Renders`: pictures in a grid, with their titles and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phosphene.kit.figures import finished, fitted, grid, show_image

if TYPE_CHECKING:
    from phosphene.rendering.result import Renders

__all__ = ["plot_renders"]

PANEL = 1.8
"""Width of a picture and its title in inches."""


def plot_renders(renders: Renders, *, columns: int | None = None, titles: bool = True) -> Any:
    """Draw `Renders`; see `Renders.plot`."""
    figure, axes = grid(len(renders), columns, (PANEL, 2.1 if titles else 1.8))
    for index, axis in enumerate(axes):
        show_image(axis, renders.images[index])
        if titles:
            note = "" if renders.status[index] in ("budget", "converged") else f" ({renders.status[index]})"
            axis.set_title(f"{fitted(renders.labels[index], PANEL, 8)}\n{renders.values[index]:.3g}{note}", fontsize=8)
    return finished(figure)
