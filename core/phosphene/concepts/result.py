"""`Concept`: a direction that separates images of a concept from others, and whether a target depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from phosphene.kit.result import FIGURES, Result
from phosphene.objectives import Objective, direction
from phosphene.types import Floats
from phosphene.words import plain_message

__all__ = ["LEVEL", "Concept"]

LEVEL = 0.05
"""Significance level."""


@dataclass(frozen=True)
class Concept(Result):
    """A concept at a layer, compared with random concepts (Kim et al. 2018).

    Attributes
    ----------
    layer : str
    label : str
        Name of the concept.
    vector : (C,)
        Its direction in the space of the layer's channels, of unit length, towards the positives.
    accuracy : float
        In [0, 1]: balanced accuracy (0.5 is chance) of a linear classifier that separates positives from negatives, on held-out
        images, averaged over the folds.
    accuracy_null : (trials,)
        The same with positives and negatives exchanged at random.
    p_present : float
        Share of random concepts that are classified at least as well, in (0, 1].
    sensitivity : float
        In [-1, 1]: derivative of the target along the direction, added at all positions, relative to that along the steepest
        direction; averaged over the images. NaN without a target.
    sensitivity_null : (trials,), or empty
        The same along the directions of the random concepts.
    p_used : float
        Share of random concepts whose sensitivity is at least as far from their mean, to either side, in (0, 1]. NaN without a
        target.
    target : str
        Title of the target; empty without one.
    counts : mapping of str to int
        Number of images: "positives", "negatives", and "images" of the target.
    settings : mapping
        Everything that is needed to test the concept again. Plain JSON.
    """

    kind: ClassVar[str] = "concept"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)

    layer: str
    label: str
    vector: Annotated[Floats, "C"]
    accuracy: float
    accuracy_null: Annotated[Floats, "_"]
    p_present: float
    sensitivity: float
    sensitivity_null: Annotated[Floats, "_"]
    p_used: float
    target: str
    counts: Mapping[str, int]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resolution(self) -> float:
        """Smallest p that this number of random concepts can give, and the step from one p to the next: 1 / (1 + trials)."""
        return 1.0 / (1 + len(self.accuracy_null))

    @property
    def significant(self) -> bool:
        """Whether the layer represents the concept and the target, if any, depends on it.

        Both p must be below 0.05, and stay there if one more of the random concepts had reached the concept: a verdict that hangs
        on a single draw is none.
        """
        return self._clear(self.p_present) and (not self.target or self._clear(self.p_used))

    @property
    def undecided(self) -> bool:
        """Whether the result is not significant only because one random concept would decide it; more trials will tell."""
        both = [self.p_present, *([self.p_used] if self.target else [])]
        return not self.significant and all(p < LEVEL for p in both)

    def _clear(self, p: float) -> bool:
        return p + self.resolution < LEVEL

    def _verdict(self, p: float, yes: str) -> str:
        if self._clear(p):
            return yes
        return "not more than chance" if not p < LEVEL else "undecided, one random concept more would change it"

    def objective(self) -> Objective:
        """Make an objective of the direction, to render, attribute or combine; see `phosphene.direction`."""
        return direction(self.layer, self.vector, label=f"{self.layer} / {self.label}")

    def plot(self) -> Any:
        """Draw the accuracy and, with a target, the sensitivity of the concept among those of the random concepts."""
        from phosphene.concepts.figure import plot_concept

        return plot_concept(self)

    def __repr__(self) -> str:
        trials, counts = len(self.accuracy_null), self.counts
        verdict = self._verdict(self.p_present, "it is there")
        lines = [
            f"Concept {self.label!r} at {self.layer}, from {counts.get('positives', 0)} images with it and "
            f"{counts.get('negatives', 0)} without",
            f"  read with an accuracy of {self.accuracy:.1%}; {trials} random concepts with {self.accuracy_null.mean():.1%} on "
            f"average (p = {self.p_present:.3f}): {verdict}",
        ]
        if self.target:
            side = "for" if self.sensitivity > self.sensitivity_null.mean() else "against"
            verdict = self._verdict(self.p_used, f"it speaks {side} {self.target}")
            lines.append(
                f"  {self.target} on {counts.get('images', 0)} images: sensitivity {self.sensitivity:+.3f}; random concepts "
                f"{self.sensitivity_null.mean():+.3f} with a deviation of {np.std(self.sensitivity_null):.3f} "
                f"(p = {self.p_used:.3f}): {verdict}"
            )
        lines.append(f"  smallest p with {trials} random concepts: {self.resolution:.3f}")
        if self.undecided:
            lines.append(f"  not significant with {trials} random concepts: give trials={max(200, 4 * trials)}")
        else:
            lines.append(f"  {'significant' if self.significant else 'not significant'}")
        return plain_message("\n".join(lines))
