"""From figures to one word and its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

from phosphene.results.trust_cards import TrustCard

__all__ = ["ENOUGH_IMAGES", "THRESHOLDS", "Thresholds", "verdict"]

ENOUGH_IMAGES = 200
"""Real images of which the two or three strongest are a percentile: of fewer no word is claimed."""


@dataclass(frozen=True)
class Thresholds:
    """What a picture has to reach: below the first of a pair it is doubtful, below the second it has failed.

    They were set on channels of even number of the embedded networks; ``python benchmarks/calibration.py`` sets them against
    the others, against copies of random weights and against pictures that deceive.

    Attributes
    ----------
    percentile, robust_percentile : (float, float)
        In percent.
    kept : (float, float)
    rank : (float, float)
        Share of the layer's units that the picture may excite more than its own.
    consistency : (float, float)
    path : (float, float)
    slope : (float, float)
        Distance of the spectral slope from the natural one: above the first it is doubtful, above the second it has failed.
    specificity : (float, float)
        Of the pictures of other units, the share that has to tell fewer pairs apart.
    twin : (float, float)
        Correlation over real images with the nearest other unit: above the first it is doubtful, above the second it has failed.
    score : (float, float)
        Of the predictive score; the second is also what the interval's lower end has to exceed.
    """

    percentile: tuple[float, float] = (99.0, 90.0)
    robust_percentile: tuple[float, float] = (99.0, 75.0)
    kept: tuple[float, float] = (0.7, 0.4)
    rank: tuple[float, float] = (0.016, 0.25)
    consistency: tuple[float, float] = (1.5, 0.5)
    path: tuple[float, float] = (0.25, -0.2)
    slope: tuple[float, float] = (1.2, 1.5)
    specificity: tuple[float, float] = (0.8, 0.1)
    twin: tuple[float, float] = (0.82, 1.0)
    score: tuple[float, float] = (0.6, 0.5)


THRESHOLDS = Thresholds()


def verdict(card: TrustCard, images: int, thresholds: Thresholds = THRESHOLDS) -> tuple[str, str]:
    """The word of a card that has all its figures, and the reason for it.

    What fails, fails; what is doubtful is doubtful; a picture is reliable where everything was measured and nothing was wrong.
    Where something could not be measured, and nothing failed, no word is claimed.

    Parameters
    ----------
    card : TrustCard
    images : int
        Real images it was held against.
    thresholds : Thresholds

    Returns
    -------
    (str, str)
    """
    found = list(_found(card, thresholds))
    failed = [said for gravity, said in found if gravity == 2]
    doubtful = [said for gravity, said in found if gravity == 1]
    missing = _missing(card, images)
    if not math.isfinite(card.clean):
        return "failed", "its value is not a finite number"
    if missing and (images < ENOUGH_IMAGES or not failed):
        return "not judged", _sentence([*missing, *failed, *doubtful])
    if failed:
        return "failed", _sentence([*failed, *doubtful, *missing])
    if doubtful:
        return "doubtful", _sentence(doubtful)
    most = (
        f"any of {images:,} real images does" if card.percentile == 100 else f"{card.percentile:.3g}% of real images do"
    )
    return "reliable", (
        f"it excites the unit more than {most}, also when it is moved and turned; with it alone {card.score:.0%} of pairs of real "
        f"images are told apart ({card.score_interval[0]:.0%} to {card.score_interval[1]:.0%})"
    )


def _found(card: TrustCard, limits: Thresholds) -> list[tuple[int, str]]:
    """What is wrong, the weightiest first, with 2 for a failure and 1 for a doubt."""
    low, high = card.score_interval
    share = (card.rank - 1) / max(1, card.units - 1)
    twin = card.nearest[0][1] if card.nearest else float("nan")
    score = _below(card.score, limits.score)
    if card.asked and not low > limits.score[1]:
        score = 2
    told = [
        (score, f"with it alone only {card.score:.0%} of pairs of real images are told apart ({low:.0%} to {high:.0%}; "
                f"chance is 50%)"),
        (_below(card.path, limits.path), "inside the network it takes another path than the images that excite the unit "
                                         f"(similarity {card.path:.2f})"),
        (_below(card.percentile, limits.percentile), f"{100 - card.percentile:.3g}% of real images excite the unit more"),
        (_below(card.robust_percentile, limits.robust_percentile),
         f"moved and turned a little, {100 - card.robust_percentile:.3g}% of real images excite the unit more"),
        (_below(card.kept, limits.kept), f"moved and turned a little, only {max(card.kept, 0):.0%} of the excitement is left"),
        (_above(share, limits.rank) if card.rank else 0,
         f"it excites {card.rank - 1} of the other {card.units - 1} units of the layer more"),
        (_below(card.specificity, limits.specificity), f"pictures of {1 - card.specificity:.0%} of the layer's other units tell as "
                                                       f"much of this one"),
        (_above(twin, limits.twin), f"channel {card.nearest[0][0] if card.nearest else 0} answers to real images much alike "
                                    f"(r {twin:.2f}): the picture hardly tells which of them it is of"),
        (_below(card.consistency, limits.consistency), "pictures of other seeds are hardly more like it than those of other units "
            f"(d' {card.consistency:.2f})"),
        (_above(abs(card.slope - card.natural_slope), limits.slope),
         f"its spectrum falls by {card.slope:.2f}, that of real images by {card.natural_slope:.2f}: "
         + ("too much fine detail" if card.slope < card.natural_slope else "too little detail")),
    ]  # fmt: skip
    return sorted(((gravity, said) for gravity, said in told if gravity), key=lambda pair: -pair[0])


def _missing(card: TrustCard, images: int) -> list[str]:
    """What could not be measured."""
    said = []
    if images < ENOUGH_IMAGES:
        low, high = card.interval
        said.append(
            f"{images} real images are too few for a percentile, which lies somewhere between {low:.3g} and {high:.3g} "
            f"(at least {ENOUGH_IMAGES} are needed)"
        )
    elif not card.asked:
        said.append("the unit answers to these real images all alike, so nothing can be predicted")
    if math.isnan(card.consistency):
        said.append("consistency over seeds was not measured (it takes two seeds and another unit)")
    return said


def _below(value: float, limits: tuple[float, float]) -> int:
    return 0 if math.isnan(value) or value >= limits[0] else 1 if value >= limits[1] else 2


def _above(value: float, limits: tuple[float, float]) -> int:
    return 0 if math.isnan(value) or value <= limits[0] else 1 if value <= limits[1] else 2


def _sentence(parts: list[str]) -> str:
    return "; ".join(parts)
