"""`Features`: directions of a layer, found by a factorisation."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.objectives import Objective, direction
from phosphene.types import Floats

__all__ = ["Features"]

FORMAT = 1
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

    def save(self, path: str | Path) -> Path:
        """Write it to a ``.npz``, whole or not at all.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.writing import write_whole

        target = Path(path)
        if target.suffix != ".npz":
            raise InvalidParameter(
                "path", allowed="a name that ends in .npz", received=str(path), fix="Render it to see it."
            )
        words = {name: getattr(self, name) for name in ("layer", "method", "source", "explained", "settings")}
        metadata = np.asarray(json.dumps({"format": FORMAT, "kind": "features", **words}))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, vectors=self.vectors, strength=self.strength, metadata=metadata)
        write_whole(target, buffer.getvalue())
        return target

    @staticmethod
    def load(path: str | Path) -> Features:
        """What `save` wrote, bit by bit.

        Raises
        ------
        FileNotFoundError
            When there is nothing.
        CorruptFile
            When it is something else, or damaged, or of a later version.
        """
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                words = json.loads(str(archive["metadata"]))
                vectors, strength = archive["vectors"], archive["strength"]
            if words["kind"] != "features" or words["format"] > FORMAT:
                raise ValueError(f"{words['kind']} in format {words['format']}")
            if vectors.ndim != 2 or strength.shape != vectors.shape[:1]:
                raise ValueError(f"shapes {vectors.shape} and {strength.shape}")
            return Features(
                words["layer"],
                words["method"],
                words["source"],
                vectors,
                strength,
                words["explained"],
                words["settings"],
            )
        except FileNotFoundError:
            raise
        except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise CorruptFile(str(path), f"no features of phosphene, or damaged ({error})") from error

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
