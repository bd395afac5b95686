"""`Features`: directions in the channels of a layer, found by a factorization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter
from phosphene.kit.arguments import places
from phosphene.kit.checks import integer
from phosphene.kit.result import FIGURES, Result
from phosphene.objectives import Objective, direction
from phosphene.types import Floats
from phosphene.words import plain_message

__all__ = ["Features"]

SHOWN = 12
"""Directions that are listed in the repr; the rest is counted."""


@dataclass(frozen=True)
class Features(Result):
    """Directions in the space of a layer's channels, and what they account for.

    Attributes
    ----------
    layer : str
    method : str
        "nmf", "kmeans" or "dictionary".
    source : str
        The papers it is from.
    vectors : (k, C)
        The directions, of unit length, strongest first. An empty component (a cluster centred at the origin, a part that no
        position has) is zero.
    strength : (k,)
        Each direction's share of all codes along the directions, in absolute value; they sum to 1.
    explained : float
        Share of the variance of the positions that the directions explain with their codes: 1 is all of it, a negative value is
        worse than the mean alone.
    settings : mapping
        Everything that is needed to find the directions again. Plain JSON.
    top : (k, K) int, or empty
        Images in which each direction is strongest at one of the positions that were used, in descending order; -1 for none.
    top_values : (k, K), or empty
        The largest code of the direction in each of them.
    photographs : (k, K, h, w, channels) float32, or empty
        These images, at most 64 pixels a side, if they were given.
    """

    kind: ClassVar[str] = "features"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)
    added: ClassVar[tuple[str, ...]] = ("top", "top_values", "photographs")

    layer: str
    method: str
    source: str
    vectors: Annotated[Floats, "k C"]
    strength: Annotated[Floats, "k"]
    explained: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    top: Annotated[NDArray[np.int64], "_ _"] = field(default_factory=lambda: np.empty((0, 0), np.int64))
    top_values: Annotated[Floats, "_ _"] = field(default_factory=lambda: np.empty((0, 0)))
    photographs: Annotated[NDArray[np.float32], "_ _ _ _ _"] = field(
        default_factory=lambda: np.empty((0, 0, 0, 0, 0), np.float32)
    )

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int | slice) -> Floats:
        """The direction of that index, ``(C,)``, or those of a slice; negative indices count from the end."""
        vector: Floats = self.vectors[places("index", index, len(self))]
        return vector

    def objective(self, index: int) -> Objective:
        """Make an objective of a direction, to render, attribute or combine.

        Parameters
        ----------
        index : int
            Index of the direction.

        Returns
        -------
        Objective
            The mean over positions of the activation along it; see `phosphene.direction`.

        Raises
        ------
        InvalidParameter
            When there is no direction of that index, or it is zero.
        """
        index = integer("index", index, maximum=len(self) - 1)
        if not np.any(self.vectors[index]):
            raise InvalidParameter(
                "index",
                allowed="a direction that is not zero",
                received=index,
                fix="This component is empty: ask for fewer directions.",
            )
        return direction(self.layer, self.vectors[index], label=f"{self.layer} / {self.method} {index}")

    def objectives(self) -> list[Objective]:
        """Objectives of all directions that are not zero, strongest first."""
        return [self.objective(index) for index in range(len(self)) if np.any(self.vectors[index])]

    def plot(self) -> Any:
        """Draw the strength of each direction, its components in the channels that matter most, and its images, if given."""
        from phosphene.features.figure import plot_features

        return plot_features(self)

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
        return plain_message("\n".join(lines))
