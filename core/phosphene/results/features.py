"""`Features`: directions of a layer, found by a factorisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.errors import InvalidParameter
from phosphene.objectives import Objective, direction
from phosphene.results.archives import load_archive, save_archive
from phosphene.types import Floats

__all__ = ["Features"]

ARRAYS = ("vectors", "strength")
WORDS = ("layer", "method", "source", "explained", "settings")
SHOWN = 12
"""Directions that are listed when it is printed; the rest is counted."""


@dataclass(frozen=True)
class Features:
    """Directions in a layer's space of channels, and what they account for.

    Attributes
    ----------
    layer : str
    method : str
        "nmf", "kmeans" or "dictionary".
    source : str
        The papers it is from.
    vectors : (k, C)
        The directions, of unit length, strongest first; one that came out as nothing (a cluster's centre in the origin, a part
        that no position has) is zero.
    strength : (k,)
        Each one's share of all codes along the directions, in absolute value; they sum to 1.
    explained : float
        Share of the variance of the positions that the directions explain with their codes; 1 is all of it, and below 0 the mean
        alone would do better.
    settings : mapping
        Everything needed to make it again. Plain JSON.
    """

    layer: str
    method: str
    source: str
    vectors: Floats
    strength: Floats
    explained: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int) -> Floats:
        """The direction of that number, ``(C,)``; counted from the end where it is negative."""
        vector: Floats = self.vectors[index]
        return vector

    def objective(self, index: int) -> Objective:
        """A direction as something to render, attribute or combine.

        Parameters
        ----------
        index : int
            Which one.

        Returns
        -------
        Objective
            The mean over positions of the activation along it; see `phosphene.direction`.

        Raises
        ------
        InvalidParameter
            When there is no direction of that number, or it is zero.
        """
        if not 0 <= index < len(self):
            raise InvalidParameter("index", allowed=f"0 to {len(self) - 1}", received=index, fix="")
        if not np.any(self.vectors[index]):
            raise InvalidParameter(
                "index", allowed="a direction that is not zero", received=index,
                fix="It came out as nothing; ask for fewer directions.",
            )  # fmt: skip
        return direction(self.layer, self.vectors[index], label=f"{self.layer} / {self.method} {index}")

    def objectives(self) -> list[Objective]:
        """All directions that are not zero as objectives, strongest first."""
        return [self.objective(index) for index in range(len(self)) if np.any(self.vectors[index])]

    def plot(self) -> Any:
        """Draw the directions: the strength of each, and what it is made of in the channels that matter most to them.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_features

        return plot_features(self)

    def save(self, path: str | Path) -> Path:
        """Write the figure to a ``.png``, ``.svg`` or ``.pdf``, or everything to a ``.npz``; whole or not at all.

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
            return save_archive(target, "features", arrays, words)
        from phosphene.files import save_figure

        return save_figure(self.plot, target, ".npz")

    @staticmethod
    def load(path: str | Path) -> Features:
        """What `save` wrote to a ``.npz``, bit by bit.

        Raises
        ------
        FileNotFoundError
            When there is nothing.
        CorruptFile
            When it is something else, or damaged, or of a later version.
        """
        return load_archive(path, "features", ARRAYS, _read)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        count, channels = self.vectors.shape
        lines = [
            f"Features of {self.layer} by {self.method}: {count} directions of {channels} channels, which explain "
            f"{self.explained:.1%} of the variance",
            "    #  strength  largest channels",
        ]
        for index in range(min(count, SHOWN)):
            vector = self.vectors[index]
            largest = [int(channel) for channel in np.argsort(-np.abs(vector), kind="stable")[:4] if vector[channel]]
            named = ", ".join(f"{channel} ({vector[channel]:+.2f})" for channel in largest)
            lines.append(f"{index:5d}  {self.strength[index]:8.1%}  {named or 'none'}")
        if count > SHOWN:
            lines.append(f"  and {count - SHOWN} more, {self.strength[SHOWN:].sum():.1%} together")
        return "\n".join(lines)


def _read(words: dict[str, Any], arrays: dict[str, Any]) -> Features:
    vectors, strength = arrays["vectors"], arrays["strength"]
    if vectors.ndim != 2 or strength.shape != vectors.shape[:1]:
        raise ValueError(f"shapes {vectors.shape} and {strength.shape}")
    return Features(**{name: words[name] for name in WORDS}, **arrays)
