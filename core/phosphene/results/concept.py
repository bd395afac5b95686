"""`Concept`: a direction that tells examples of something from other images, and whether a target makes use of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phosphene.objectives import Objective, direction
from phosphene.types import Floats

__all__ = ["LEVEL", "Concept"]

LEVEL = 0.05
"""Chance below which a figure counts as significant."""


@dataclass(frozen=True)
class Concept:
    """A concept at a layer, held against as many random ones (Kim et al. 2018).

    Attributes
    ----------
    layer : str
    label : str
        What the concept is called.
    vector : (C,)
        Its direction in the space of the layer's channels, of unit length; points to the positives.
    accuracy : float
        In [0, 1]: how well a linear classifier tells the two sets apart on images that it did not see, the mean of both sets'
        (so that 0.5 is chance, whatever their sizes), averaged over the folds.
    accuracy_null : (trials,)
        The same where positives and negatives were exchanged at random.
    p_present : float
        How often a random concept is read at least as well, in (0, 1].
    sensitivity : float
        In [-1, 1]: derivative of the target along the direction, added at all positions, relative to that along the steepest
        direction; averaged over the images. NaN without a target.
    sensitivity_null : (trials,), or empty
        The same along the directions of the random concepts.
    p_used : float
        How often a random concept's is at least as far from their mean, to either side, in (0, 1]. NaN without a target.
    target : str
        Title of the target; empty where there was none.
    counts : mapping of str to int
        Images: "positives", "negatives", and "images" of the target.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    layer: str
    label: str
    vector: Floats
    accuracy: float
    accuracy_null: Floats
    p_present: float
    sensitivity: float
    sensitivity_null: Floats
    p_used: float
    target: str
    counts: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def significant(self) -> bool:
        """Whether the layer has the concept and, where there is a target, the target makes use of it: both p below 0.05."""
        return self.p_present < LEVEL and (not self.target or self.p_used < LEVEL)

    def objective(self) -> Objective:
        """The direction as something to render, attribute or combine; see `phosphene.direction`."""
        return direction(self.layer, self.vector, label=f"{self.layer} / {self.label}")

    def __repr__(self) -> str:
        trials, counts = len(self.accuracy_null), self.counts
        verdict = "it is there" if self.p_present < LEVEL else "not more than chance"
        lines = [
            f"Concept {self.label!r} at {self.layer}, from {counts['positives']} images with it and {counts['negatives']} without",
            f"  read with an accuracy of {self.accuracy:.1%}; {trials} random concepts with {self.accuracy_null.mean():.1%} on "
            f"average (p = {self.p_present:.3f}): {verdict}",
        ]
        if self.target:
            verdict = "not more than chance"
            if self.p_used < LEVEL:
                verdict = (
                    f"it speaks {'for' if self.sensitivity > self.sensitivity_null.mean() else 'against'} {self.target}"
                )
            lines.append(
                f"  {self.target} on {counts['images']} images: sensitivity {self.sensitivity:+.3f}; random concepts "
                f"{self.sensitivity_null.mean():+.3f} with a deviation of {np.std(self.sensitivity_null):.3f} "
                f"(p = {self.p_used:.3f}): {verdict}"
            )
        lines.append(f"  {'significant' if self.significant else 'not significant'}")
        return "\n".join(lines)
