"""The figure of `Accentuation`: the photograph and the pictures, and below each its difference from the photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phosphene.kit.figures import finished, grid, show_image

if TYPE_CHECKING:
    from phosphene.photographs.result import Accentuation

__all__ = ["plot_accentuation"]

LOUDER = 3.0
"""Factor by which a difference is enlarged when it is drawn on mid-grey."""


def plot_accentuation(found: Accentuation) -> Any:
    """Draw `Accentuation`; see `Accentuation.plot`."""
    pictures = [(found.photograph, f"photograph\n{found.before:.3g}")]
    for row, image in enumerate(found.renders.images):
        pictures.append((image, f"{found.renders.values[row]:.3g}\nchanged by {found.change[row]:.2g}"))
    if found.smallest is not None:
        pictures.append((found.smallest, f"crosses {found.threshold:.3g}\nchanged by {found.smallest_change:.2g}"))
    figure, axes = grid(2 * len(pictures), len(pictures), (1.7, 1.95))
    above, below = axes[: len(pictures)], axes[len(pictures) :]
    for (image, title), upper, lower in zip(pictures, above, below, strict=True):
        show_image(upper, image)
        upper.set_title(title, fontsize=8)
        if image is not found.photograph:
            show_image(lower, np.clip(0.5 + LOUDER * (image - found.photograph), 0, 1))
    below[0].text(
        0.95, 0.5, f"what was\nadded, {LOUDER:g} x", ha="right", va="center", fontsize=8, transform=below[0].transAxes
    )
    return finished(figure)
