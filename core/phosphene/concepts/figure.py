"""The figure of `Concept`: the concept among random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phosphene.kit.figures import figure_class, finished, fitted, legend
from phosphene.types import Floats

if TYPE_CHECKING:
    from phosphene.concepts.result import Concept

__all__ = ["plot_concept"]

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind readers."""


def plot_concept(found: Concept) -> Any:
    """Draw `Concept`; see `Concept.plot`."""
    panels = [
        (found.accuracy, found.accuracy_null, found.p_present, f"read at {fitted(found.layer, 1.2, 8)}: accuracy")
    ]
    if found.target:
        panels.append(
            (
                found.sensitivity,
                found.sensitivity_null,
                found.p_used,
                f"used by {fitted(found.target, 1.2, 8)}: sensitivity",
            )
        )
    figure = figure_class()(figsize=(3.4 * len(panels), 2.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (own, null, chance, title) in zip(axes, panels, strict=True):
        _among(axis, own, null)
        axis.set_xlabel(f"{title} (p = {chance:.3f})", fontsize=8)
    trials = len(found.accuracy_null)
    note = f"smallest p with {trials} random concepts: {found.resolution:.3f}"
    if found.undecided:
        note += "; one random concept more would decide: give more trials"
    # Below the figure, so that it is not cropped away unnoticed.
    figure.supxlabel(note, fontsize=7)
    axes[0].set_ylabel("random concepts", fontsize=8)
    legend(axes[0], ["random concepts", fitted(found.label, 1.2, 7)], fontsize=7, frameon=False)
    return finished(figure)


def _among(axis: Any, own: float, null: Floats) -> None:
    axis.hist(null, bins=15, color=BLUE, label="random concepts")
    axis.axvline(own, color=ORANGE, linewidth=2, label="the concept")
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
