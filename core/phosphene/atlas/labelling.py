"""The sixth step of an atlas: what each part of a cell is of, how surely, and when that is not known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.atlas.evidence import SOURCES, Evidence
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, MissingDependency, said
from phosphene.types import Floats

__all__ = ["UNKNOWN", "LabelSettings", "Labels", "label"]

UNKNOWN = "no reliable label"

MOST_BUNCHES = 500
"""Past so many images in a group they are resampled in random bunches: the same spread, and a bounded cost."""

BLOCK = 5_000_000
"""Numbers that are held in double precision at once."""


@dataclass(frozen=True)
class LabelSettings:
    """How groups of points are labelled.

    Attributes
    ----------
    evidence : "auto", "attributions" or "logits", default "auto"
        See `phosphene.atlas.evidence.network_evidence`.
    top : int, default 5
        Classes that are kept of each group, strongest first.
    contenders : int, default 8
        Strongest classes of each group that enter the bootstrap, so that a thousand classes cost no more than eight.
    resamples : int, default 1000
    confidence : float, default 0.95
        Of the interval of the margin.
    images : int, default 6
        Images that a group must have for a label. Fewer cannot give the confidence: 5 coins fall alike in 1 of 16 cases, 6 in 1
        of 32.
    seed : int, default 0
        Of the bootstrap.
    """

    evidence: str = "auto"
    top: int = 5
    contenders: int = 8
    resamples: int = 1000
    confidence: float = 0.95
    images: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.evidence not in SOURCES:
            raise InvalidParameter(
                "evidence", allowed=" or ".join(map(repr, SOURCES)), received=self.evidence, fix="'auto' is usual."
            )
        integer("top", self.top, minimum=1)
        integer("contenders", self.contenders, minimum=2)
        integer("resamples", self.resamples, minimum=2)
        integer("images", self.images, minimum=2)
        integer("seed", self.seed)
        if not 0 < self.confidence < 1:
            raise InvalidParameter(
                "confidence", allowed="a number in (0, 1)", received=self.confidence, fix="0.95 is usual."
            )


@dataclass(frozen=True)
class Labels:
    """Labels of groups of points: of the groups of a level, in their order, or of clusters.

    Attributes
    ----------
    source : "attributions", "logits" or "texts"
        What they rest on.
    names : tuple of str
        Of all classes.
    classes : (G, K) int32
        Numbers of the strongest classes, strongest first; as many as there are where there are fewer than K.
    evidence : (G, K) float64
        Mean evidence of these: how much more than the class gets over all points, and than the mean class gets here. Of texts it
        is how much more frequent one is here than everywhere.
    margin : (G,) float64
        Of the first class over the second. NaN where there is one class only.
    interval : (G, 2) float64
        In which the margin lies; NaN where the group is of a single image.
    claimed : (G,) bool
        Whether there is a label: the interval lies above 0, and there are images enough.
    purity : (G,) float64
        Part of the points whose own class (the network's prediction for the image, or the text) is the first. NaN where points
        have none.
    rank : float
        How well attributions tell the network's own answer, where it was asked; see `phosphene.atlas.evidence.rank_of_answers`.
    """

    source: str
    names: tuple[str, ...]
    classes: NDArray[np.int32]
    evidence: Floats
    margin: Floats
    interval: Floats
    claimed: NDArray[np.bool_]
    purity: Floats
    rank: float = float("nan")

    def text(self, group: int) -> str:
        """The name of a group's label, or "no reliable label"."""
        return self.names[int(self.classes[group, 0])] if self.claimed[group] else UNKNOWN

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, for a file."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(Labels)}

    @staticmethod
    def of(arrays: Any) -> Labels:
        """What `arrays` gave."""
        found = {each.name: arrays[each.name] for each in fields(Labels)}
        plain = {"source": str(found["source"]), "names": tuple(found["names"].tolist()), "rank": float(found["rank"])}
        return Labels(**(found | plain))


def label(
    evidence: Evidence,
    members: NDArray[np.integer],
    starts: NDArray[np.integer],
    settings: LabelSettings | None = None,
) -> Labels:
    """Labels of groups of points: their strongest classes, and whether the first of them is surely first.

    Parameters
    ----------
    evidence : Evidence
        Of all points.
    members : (n,) of int
        Numbers of the points, group after group.
    starts : (G + 1,) of int
        Where each group begins in `members`, and the end; no group may be empty.
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
    The margin's interval is a bootstrap over *images*, since several points of one are not independent (Efron and Tibshirani
    1993): percentiles, taken as far out as Student's distribution asks for where images are few (Hesterberg 2015, "What teachers
    should know about the bootstrap"). The label stays the first class while whoever is second may change. Draws depend on the
    seed and on the number of images alone, so groups of as many share them. Where two classes were alike by design 5 to 8 groups
    in 100 claimed one of them, and where five were, fewer than 1.
    """
    settings = settings or LabelSettings()
    counts = np.diff(starts)
    if not len(counts) or counts.min() < 1:
        raise InvalidParameter(
            "starts", allowed="groups of at least one point", received=said("an empty one"), fix="Leave it out."
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
    # A comparison with NaN is false.
    claimed = (interval[:, 0] > 0) & (images >= settings.images)
    strength = np.take_along_axis(means, classes, axis=1)
    return Labels(
        evidence.source, evidence.classes, classes.astype(np.int32), strength, margin, interval, claimed, purity,
        evidence.rank,
    )  # fmt: skip


def _sums(rows: NDArray[Any], members: NDArray[Any], starts: NDArray[Any]) -> Floats:
    """Sums over runs of `members`: ``(G, T)``."""
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
    """Intervals of the margin ``(G, 2)``, and how many images each group has."""
    numbers, image = np.unique(evidence.images, return_inverse=True)
    # Bunches are of neighbours in this order, so it must not be that of the data, which may be sorted by class.
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
    """Which quantiles of so many resampled values bound the interval (Hesterberg 2015, section 5.3)."""
    try:
        from scipy.special import ndtr, stdtrit
    except ImportError as error:
        raise MissingDependency("scipy", "embed") from error
    low = float(ndtr(np.sqrt(many / (many - 1)) * stdtrit(many - 1, (1 - confidence) / 2)))
    return low, 1 - low
