"""`Concept`: a direction that tells examples of something from other images, and whether a target makes use of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.objectives import Objective, direction
from phosphene.results.archives import load_archive, save_archive
from phosphene.types import Floats

__all__ = ["LEVEL", "Concept"]

ARRAYS = ("vector", "accuracy_null", "sensitivity_null")
WORDS = ("layer", "label", "accuracy", "p_present", "sensitivity", "p_used", "target", "counts", "settings")

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

    def plot(self) -> Any:
        """Draw the concept among the random ones: how well it is read and, with a target, how much that moves along it.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_concept

        return plot_concept(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``, or everything to a ``.npz``; whole or not at all.

        Parameters
        ----------
        path : path
            Its ending says which.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        target = Path(path)
        if target.suffix == ".npz":
            arrays, words = ({name: getattr(self, name) for name in names} for names in (ARRAYS, WORDS))
            return save_archive(target, "concept", arrays, words)
        from phosphene.files import save_figure

        return save_figure(self.plot, target, ".npz")

    @staticmethod
    def load(path: str | Path) -> Concept:
        """What `save` wrote to a ``.npz``, bit by bit.

        Parameters
        ----------
        path : path

        Returns
        -------
        Concept

        Raises
        ------
        FileNotFoundError
            When there is nothing.
        CorruptFile
            When it is something else, or damaged, or of a later version.
        """
        return load_archive(path, "concept", ARRAYS, _read)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

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


def _read(words: dict[str, Any], arrays: dict[str, Any]) -> Concept:
    if any(array.ndim != 1 or array.dtype.kind != "f" for array in arrays.values()):
        raise ValueError(f"shapes {', '.join(str(array.shape) for array in arrays.values())}")
    return Concept(**{name: words[name] for name in WORDS}, **arrays)
