"""Step 7 of an atlas: the class of each group of points, with a confidence interval, or that it is not known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.cells import within
from phosphene.atlas.evidence import SOURCES, Evidence
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.kit.checks import choice, integer, number, seed_of
from phosphene.kit.records import from_arrays
from phosphene.types import Floats

__all__ = ["UNKNOWN", "LabelSettings", "Labels", "label"]

UNKNOWN = "no reliable label"

MOST_BUNCHES = 500
"""Above this number of images per group, random bunches of images are resampled: the same variance at bounded cost."""

BLOCK = 5_000_000
"""Number of values held in double precision at once."""


@dataclass(frozen=True)
class LabelSettings:
    """Settings of the labels.

    Attributes
    ----------
    evidence : "auto", "attributions" or "logits", default "auto"
        See `phosphene.atlas.evidence.network_evidence`.
    top : int, default 5
        Number of classes kept per group, strongest first.
    contenders : int, default 8
        Number of strongest classes per group that enter the bootstrap, which bounds its cost for many classes.
    resamples : int, default 1000
        Number of bootstrap samples.
    confidence : float, default 0.95
        Confidence level of the interval of the margin, in (0, 1).
    images : int, default 6
        Minimum number of images of a group for a label. Fewer cannot reach 95% confidence: 5 coins fall alike in 1 of 16 cases, 6
        in 1 of 32.
    seed : int, default 0
        Random seed of the bootstrap.
    """

    evidence: str = "auto"
    top: int = 5
    contenders: int = 8
    resamples: int = 1000
    confidence: float = 0.95
    images: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        choice("evidence", self.evidence, SOURCES)
        integer("top", self.top, minimum=1)
        integer("contenders", self.contenders, minimum=2)
        integer("resamples", self.resamples, minimum=2, maximum=1_000_000)
        integer("images", self.images, minimum=2)
        seed_of(self.seed)
        if number("confidence", self.confidence, minimum=0, open_minimum=True, example=0.95) >= 1:
            raise InvalidParameter(
                "confidence", allowed="a number in (0, 1)", received=self.confidence, fix="For example confidence=0.95."
            )


@dataclass(frozen=True)
class Labels:
    """Labels of groups of points: of the groups of a level, or of clusters, in their order.

    Attributes
    ----------
    source : "attributions", "logits" or "texts"
        The evidence behind the labels.
    names : tuple of str
        Names of all classes.
    classes : (G, K) int32
        Indices of the K strongest classes (or of all, if there are fewer), strongest first.
    evidence : (G, K) float64
        Mean evidence for these classes, relative to the mean of the class over all points and to the mean of all classes in the
        group. For texts: how much more frequent the text is here than over all points.
    margin : (G,) float64
        Difference of the evidence for the first and the second class. NaN if there is only one class.
    interval : (G, 2) float64
        Confidence interval of the margin; NaN for groups of a single image.
    claimed : (G,) bool
        Whether the group has a label: the interval lies above 0, and there are enough images.
    purity : (G,) float64
        Share of the points whose own class (the network's prediction for the image, or the text) is the first. NaN if points
        have no class.
    rank : float
        How well attributions identify the network's prediction; see `phosphene.atlas.evidence.rank_of_answers`.
    """

    source: str
    names: tuple[str, ...]
    classes: Annotated[NDArray[np.int32], "G K"]
    evidence: Annotated[Floats, "G K"]
    margin: Annotated[Floats, "G"]
    interval: Annotated[Floats, "G 2"]
    claimed: Annotated[NDArray[np.bool_], "G"]
    purity: Annotated[Floats, "G"]
    rank: float = float("nan")

    def text(self, group: int) -> str:
        """Name of the label of a group, or "no reliable label"."""
        return self.names[int(self.classes[group, 0])] if self.claimed[group] else UNKNOWN

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as arrays by name, to be written to a file."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(Labels)}

    @staticmethod
    def of(arrays: Any) -> Labels:
        """The inverse of `arrays`."""
        made = from_arrays(Labels, arrays)
        if not within(made.classes, 0, len(made.names) - 1):
            raise ValueError("its classes are not those of its names")
        return made


def label(
    evidence: Evidence,
    members: NDArray[np.integer],
    starts: NDArray[np.integer],
    settings: LabelSettings | None = None,
) -> Labels:
    """Label groups of points: find the strongest classes, and whether the first is significantly ahead of the second.

    Parameters
    ----------
    evidence : Evidence
        Evidence of all points.
    members : (n,) of int
        Indices of the points, sorted by group.
    starts : (G + 1,) of int
        Offset of each group in `members`, followed by the total; no group may be empty.
    settings : LabelSettings, optional

    Returns
    -------
    Labels

    Raises
    ------
    InvalidParameter
        For an empty group.
    MissingDependency
        When SciPy is not installed.

    Notes
    -----
    The interval of the margin is a bootstrap over *images*, since points of the same image are not independent (Efron and
    Tibshirani 1993). It is a percentile interval, expanded for few images by Student's distribution (Hesterberg 2015, "What
    teachers should know about the bootstrap"). In each resample the first class stays the same, and the second is the strongest
    of the others. Resamples depend only on the seed and the number of images. In simulations with two equal classes, 5 to 8
    groups in 100 were labelled; with five equal classes, fewer than 1.
    """
    settings = settings or LabelSettings()
    counts = np.diff(starts)
    if not len(counts) or counts.min() < 1:
        raise InvalidParameter(
            "starts",
            allowed="groups of at least one point",
            received=said("an empty group"),
            fix="Remove empty groups.",
        )
    owner = np.repeat(np.arange(len(counts)), counts)
    means = _sums(evidence.rows, members, starts) / counts[:, None] - evidence.base
    means -= means.mean(axis=1, keepdims=True)
    order = np.argsort(-means, axis=1, kind="stable")[:, : max(settings.top, settings.contenders)]
    classes = order[:, : settings.top]
    purity = np.full(len(counts), np.nan)
    if evidence.answers is not None:
        right = evidence.answers[members] == classes[owner, 0]
        purity = np.bincount(owner, right, len(counts)) / counts
    margin, interval = np.full(len(counts), np.nan), np.full((len(counts), 2), np.nan)
    images = np.zeros(len(counts), np.int64)
    if means.shape[1] > 1:
        margin = np.take_along_axis(means, order[:, :1], 1)[:, 0] - np.take_along_axis(means, order[:, 1:2], 1)[:, 0]
        interval, images = _bootstrap(evidence, members, owner, order[:, : settings.contenders], settings)
    # Comparisons with NaN are false.
    claimed = (interval[:, 0] > 0) & (images >= settings.images)
    strength = np.take_along_axis(means, classes, axis=1)
    return Labels(
        evidence.source,
        evidence.classes,
        classes.astype(np.int32),
        strength,
        margin,
        interval,
        claimed,
        purity,
        evidence.rank,
    )


def _sums(rows: NDArray[Any], members: NDArray[Any], starts: NDArray[Any]) -> Floats:
    """Sums over runs of `members`, ``(G, T)``."""
    found = np.empty((len(starts) - 1, rows.shape[1]))
    most = max(1, BLOCK // rows.shape[1])
    first = 0
    while first < len(found):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + most, side="right")) - 1)
        part = rows[members[starts[first] : starts[last]]].astype(np.float64)
        found[first:last] = np.add.reduceat(part, starts[first:last] - starts[first], axis=0)
        first = last
    return found


def _bootstrap(
    evidence: Evidence, members: NDArray[Any], owner: NDArray[Any], classes: NDArray[Any], settings: LabelSettings
) -> tuple[Floats, NDArray[np.int64]]:
    """Intervals of the margin ``(G, 2)``, and the number of images of each group."""
    numbers, image = np.unique(evidence.images, return_inverse=True)
    # Bunches are consecutive images, so the order is shuffled: that of the data may be sorted by class.
    image = generator(settings.seed, "atlas label bunches", str(len(numbers))).permutation(len(numbers))[image]
    keys, unit = np.unique(owner * len(numbers) + image[members], return_inverse=True)
    images = np.bincount(keys // len(numbers), minlength=len(classes))
    unit_starts = np.concatenate([[0], np.cumsum(images)])
    bunches = np.minimum(images, MOST_BUNCHES)
    bunch_starts = np.concatenate([[0], np.cumsum(bunches)])
    place = (unit - unit_starts[owner]) % bunches[owner] + bunch_starts[owner]
    sizes = np.bincount(place, minlength=bunch_starts[-1]).astype(np.float64)
    totals = np.empty((bunch_starts[-1], classes.shape[1]))
    for column in range(classes.shape[1]):
        chosen = classes[owner, column]
        values = evidence.rows[members, chosen].astype(np.float64) - evidence.base[chosen]
        totals[:, column] = np.bincount(place, values, bunch_starts[-1])
    found = np.full((len(classes), 2), np.nan)
    for many in np.unique(bunches[bunches > 1]).tolist():
        groups = np.flatnonzero(bunches == many)
        weights = generator(settings.seed, "atlas labels", str(many)).multinomial(
            many, np.full(many, 1 / many), size=settings.resamples
        )
        tails = _tails(many, settings.confidence)
        fitting = max(1, BLOCK // (settings.resamples * classes.shape[1]))
        for begin in range(0, len(groups), fitting):
            part = groups[begin : begin + fitting]
            rows = bunch_starts[part][:, None] + np.arange(many)
            means = (weights @ totals[rows]) / (weights @ sizes[rows][..., None])
            margins = means[..., 0] - means[..., 1:].max(axis=-1)
            found[part] = np.quantile(margins, tails, axis=1).T
    return found, images


def _tails(many: int, confidence: float) -> tuple[float, float]:
    """Quantiles that bound the expanded percentile interval for `many` values (Hesterberg 2015, section 5.3)."""
    try:
        from scipy.special import ndtr, stdtrit
    except ImportError as error:
        raise MissingDependency("scipy", "embed") from error
    low = float(ndtr(np.sqrt(many / (many - 1)) * stdtrit(many - 1, (1 - confidence) / 2)))
    return low, 1 - low
