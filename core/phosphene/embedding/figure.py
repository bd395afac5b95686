"""The figure of `Embedding`: points or small images, coloured by class or by a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phosphene.embedding.result import LABELS
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import array_like
from phosphene.kit.checks import names as names_in
from phosphene.kit.figures import SEQUENTIAL, figure_class, finished, fitted, legend
from phosphene.kit.pictures import as_picture

if TYPE_CHECKING:
    from phosphene.embedding.result import Embedding

__all__ = ["plot_embedding"]

COLOURS = tuple(
    (
        "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000 #69001E "
        "#3C0096 #691EFF #87E1A5 #A52D69 #784B00 #8778FF #D200B4 #D2C3E1 "
        "#4BF03C #0F3C4B #0000D2 #FF4B69 #A5B496 #692D78 #2D5A4B #FF78D2 "
        "#695A87 #A55A4B #78C35A #A54BD2 #004B96 #0FE1FF #009600 #4B69F0 "
    ).split()
)
"""Thirty-two colours: seven of Okabe and Ito (2008), then each as far as possible from those before it in Oklab (Ottosson 2020), as
seen with normal, protanopic and deuteranopic vision (Machado et al. 2009), and from white."""

MARKS = "o^sDvPX*"
"""Classes that follow each other differ in their marker, too; more classes than colours repeat them with other markers."""


LEGEND = 2.2
"""Inches: the longest name in the legend."""

LEGEND_ROWS = 34
"""Classes in one column of the legend."""


def plot_embedding(
    found: Embedding, labels: ArrayLike | None = None, *, names: Sequence[str] | None = None, thumbnails: bool = False
) -> Any:
    """Draw `Embedding`; see `Embedding.plot`."""
    if thumbnails and (len(found.thumbnails) == 0 or found.points.shape[1] != 2):
        raise InvalidParameter(
            "thumbnails",
            allowed="False",
            received=True,
            fix="Make a 2-D embedding with thumbnails: ph.embed(..., thumbnails=True).",
        )
    space = found.points.shape[1] == 3
    figure = figure_class()(figsize=(7.6, 6.2), layout="constrained")
    axis = figure.add_subplot(projection="3d") if space else figure.add_subplot()
    columns = found.points.T
    if labels is None:
        axis.scatter(*columns, s=8, color=COLOURS[0], alpha=0.6, linewidths=0)
    else:
        given = array_like("labels", labels, kinds=LABELS, allowed="numbers or strings of one type")
        if given.shape != (len(found),):
            raise InvalidParameter(
                "labels",
                allowed=f"{len(found)} labels (one per point)",
                received=said(f"shape {given.shape}"),
                fix="Give one label for each image, in the order of the images.",
            )
        if np.issubdtype(given.dtype, np.floating):
            drawn = axis.scatter(*columns, s=8, c=given, cmap=SEQUENTIAL, alpha=0.8, linewidths=0)
            figure.colorbar(drawn, ax=axis, shrink=0.6)
        else:
            _classes(axis, found.points, given, None if names is None else _titles(given, names))
    if thumbnails:
        _thumbnails(axis, found)
    shares = [f" ({share:.0%} of the variance)" for share in found.variance] or [""] * len(columns)
    word = {"pca": "component", "tsne": "t-SNE", "umap": "UMAP"}[found.method]
    for name, set_label, share in zip(
        (1, 2, 3), (axis.set_xlabel, axis.set_ylabel, getattr(axis, "set_zlabel", None)), shares, strict=False
    ):
        if set_label is not None:
            set_label(f"{word} {name}{share}", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_title(f"{fitted(found.layer, 4.0, 10)}, {len(found):,} images", fontsize=10)
    # Below the figure, so that it is not cropped away unnoticed.
    figure.supxlabel(
        f"trustworthiness {found.trustworthiness:.3f} of {found.neighbours} neighbours"
        + ("" if found.method == "pca" else "; distances between groups mean little"),
        fontsize=8,
    )
    return finished(figure)


def _titles(labels: NDArray[Any], names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of classes that are integers."""
    titles = names_in("names", names, fix='For example names=["coins", "grass"].')
    if np.issubdtype(labels.dtype, np.integer) and not (labels.min() >= 0 and labels.max() < len(titles)):
        raise InvalidParameter(
            "names",
            allowed=f"a name for each of the classes {labels.min()} to {labels.max()}, counted from 0",
            received=said(f"{len(titles)} names"),
            fix="Give labels from 0 on, and one name per class.",
        )
    return titles


def _classes(axis: Any, points: NDArray[np.float32], labels: NDArray[Any], names: Sequence[str] | None) -> None:
    present = np.unique(labels)
    texts: list[str] = []
    for number, label in enumerate(present):
        chosen = labels == label
        text = str(label) if names is None or not np.issubdtype(labels.dtype, np.integer) else names[int(label)]
        texts.append(fitted(text, LEGEND, 7))
        colour, mark = look(number)
        axis.scatter(
            *points[chosen].T,
            s=12,
            color=colour,
            marker=mark,
            alpha=0.8,
            linewidths=0,
            label=str(number),
        )
    legend(
        axis,
        texts,
        fontsize=7,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        markerscale=1.4,
        ncols=-(-len(present) // LEGEND_ROWS),
    )


def look(number: int) -> tuple[str, str]:
    """Colour and marker of a class: no two are alike among the first 256."""
    return COLOURS[number % len(COLOURS)], MARKS[(number + number // len(COLOURS)) % len(MARKS)]


def _thumbnails(axis: Any, found: Embedding) -> None:
    """Draw small images at their points, skipping those that would overlap one already drawn."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    spread = np.ptp(found.points[np.isfinite(found.points).all(axis=1)], axis=0)
    taken = np.empty((0, 2))
    for place, image in zip(found.points, found.thumbnails, strict=True):
        if not np.all(np.isfinite(place)):
            continue
        if len(taken) == 0 or (np.abs((taken - place) / spread) > 0.05).any(axis=1).all():
            picture = as_picture(image)
            small = OffsetImage(
                np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else np.clip(picture, 0, 1), zoom=0.75
            )
            axis.add_artist(AnnotationBbox(small, place, frameon=False, pad=0))
            taken = np.concatenate([taken, place[None]])
