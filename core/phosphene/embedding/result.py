"""`Embedding`: the activations of a layer as points in two or three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.archives import archive_bytes
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import boolean
from phosphene.kit.result import FIGURES, Result
from phosphene.types import Floats
from phosphene.words import plain_message

__all__ = ["Embedding"]


LABELS = "iufbUS"
"""Kinds of dtypes of labels."""


@dataclass(frozen=True)
class Embedding(Result):
    """Points of an embedding, and how well their neighbourhoods are preserved.

    Attributes
    ----------
    points : (N, 2) or (N, 3) float32
    method : str
        "pca", "tsne" or "umap".
    source : str
        The paper it is from.
    layer : str
    trustworthiness : float
        In [0, 1]: how far the neighbours of a point in the embedding are its neighbours in the layer (Venna and Kaski 2001);
        1 if all of them are.
    neighbours : int
        The number of neighbours that `trustworthiness` considers.
    variance : (2,) or (3,), or empty
        Share of the variance along each axis, for "pca".
    thumbnails : (N, h, w, C) float32, or empty
        Small images, if they were asked for.
    settings : mapping
        Everything that is needed to make the embedding again. Plain JSON.
    """

    kind: ClassVar[str] = "embedding"
    endings: ClassVar[tuple[str, ...]] = (".npz", *FIGURES)

    points: Annotated[NDArray[np.float32], "N axes"]
    method: str
    source: str
    layer: str
    trustworthiness: float
    neighbours: int
    variance: Annotated[Floats, "_"]
    thumbnails: Annotated[NDArray[np.float32], "_ _ _ _"]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points)

    def plot(
        self, labels: ArrayLike | None = None, *, names: Sequence[str] | None = None, thumbnails: bool = False
    ) -> Any:
        """Draw the points.

        Parameters
        ----------
        labels : array-like (N,), optional
            Values to colour the points by: integers or strings are classes, floats a continuous scale.
        names : sequence of str, optional
            Names of the classes, if labels are integers.
        thumbnails : bool, default False
            Whether to draw small images instead of points, as many as fit without overlap; the embedding must have been made
            with ``thumbnails=True``.

        Raises
        ------
        InvalidParameter
            For labels that are not one per point, or thumbnails that the embedding does not have.
        """
        from phosphene.embedding.figure import plot_embedding

        thumbnails = boolean("thumbnails", thumbnails)
        return plot_embedding(self, labels, names=names, thumbnails=thumbnails)

    def save(self, path: str | Path, labels: ArrayLike | None = None, **options: Any) -> Path:
        """Save the embedding; see `Result.save`.

        Parameters
        ----------
        path : str or Path
            Ends in .npz, .png, .svg or .pdf.
        labels : array-like (N,), optional
            Values to colour a figure by, see `plot`. A ``.npz`` keeps them as the entry "labels", which `load` does not read.
        **options
            Options of `plot`, for a figure.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending, or options that do not apply to it.
        UnwritablePath
            When the file cannot be written.
        """
        return super().save(path, **options, **({} if labels is None else {"labels": labels}))

    def _content(self, ending: str, **options: Any) -> bytes:
        if ending != ".npz" or set(options) != {"labels"}:
            return super()._content(ending, **options)
        labels = array_like("labels", options["labels"], kinds=LABELS, allowed="numbers or strings of one type")
        if labels.shape != (len(self),):
            raise InvalidParameter(
                "labels",
                allowed=f"{len(self)} labels, one per point",
                received=said(f"shape {labels.shape}"),
                fix="Give them in the order of the images.",
            )
        return archive_bytes(self, self.kind, labels=labels)

    def __repr__(self) -> str:
        count, axes = self.points.shape
        return plain_message(
            f"Embedding of {self.layer} by {self.method}: {count:,} points in {axes} dimensions, trustworthiness "
            f"{self.trustworthiness:.3f} (of {self.neighbours} neighbours)"
        )
