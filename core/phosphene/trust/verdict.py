"""The verdict of a trust card: one word, and its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from phosphene.errors import InvalidParameter
from phosphene.kit.checks import numbers
from phosphene.trust.result import TrustCard

__all__ = ["ENOUGH_IMAGES", "THRESHOLDS", "Thresholds", "verdict"]

ENOUGH_IMAGES = 200
"""Smallest number of real images for a verdict: of these, the two strongest are the last percentile."""


@dataclass(frozen=True)
class Thresholds:
    """Limits of the verdicts: a value below the first of a pair is doubtful, a value below the second has failed.

    The defaults were set on the even-numbered channels of the embedded networks. ``python benchmarks/calibration.py`` tests them
    on the odd-numbered ones, on networks with random weights and on deceptive pictures. See `phosphene.TrustCard` for the
    figures.

    Attributes
    ----------
    percentile, robust_percentile : (float, float)
        Percentiles among real images, in percent.
    kept : (float, float)
        Share of the picture's lead that is kept under transforms.
    rank : (float, float)
        Share of the layer's other units that the picture activates more; values above the limits are doubtful or have failed.
    consistency : (float, float)
        Consistency over seeds, d'.
    path : (float, float)
        Similarity to the path of real images.
    slope : (float, float)
        Difference of the spectral slope from that of real images; values above the limits are doubtful or have failed.
    specificity : (float, float)
        Share of other units' pictures that predict the unit worse.
    twin : (float, float)
        Correlation over real images with the most similar other unit; values above the limits are doubtful or have failed.
    score : (float, float)
        Predictive score; the lower end of its interval must exceed the second limit.
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

    def __post_init__(self) -> None:
        for each in fields(self):
            limits = numbers(each.name, getattr(self, each.name), fix=f"For example {each.name}={each.default}.")
            if len(limits) != 2:
                raise InvalidParameter(
                    each.name,
                    allowed="two numbers: below the first is doubtful, below the second has failed",
                    received=getattr(self, each.name),
                    fix=f"For example {each.name}={each.default}.",
                )
            object.__setattr__(self, each.name, limits)


THRESHOLDS = Thresholds()


def verdict(card: TrustCard, images: int, thresholds: Thresholds = THRESHOLDS) -> tuple[str, str]:
    """Judge a card by its figures.

    A picture fails if any figure fails, is doubtful if any is doubtful, and is reliable if all were measured and none is
    doubtful. If a figure could not be measured and none failed, the verdict is "not judged".

    Parameters
    ----------
    card : TrustCard
    images : int
        Number of real images with which the picture was compared.
    thresholds : Thresholds

    Returns
    -------
    word, reason : str
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
    most = f"any of {images:,} real images" if card.percentile == 100 else f"{card.percentile:.3g}% of real images"
    return "reliable", (
        f"it activates the unit more than {most}, also under transforms; from it alone, {card.score:.0%} of pairs of real images "
        f"are answered correctly ({card.score_interval[0]:.0%} to {card.score_interval[1]:.0%})"
    )


def _found(card: TrustCard, limits: Thresholds) -> list[tuple[int, str]]:
    """Problems of a card, most severe first: 2 for a failure, 1 for a doubt."""
    low, high = card.score_interval
    share = (card.rank - 1) / max(1, card.units - 1)
    twin = card.nearest[0][1] if card.nearest else float("nan")
    score = _below(card.score, limits.score)
    if card.asked and not low > limits.score[1]:
        score = 2
    told = [
        (
            score,
            f"from it alone, only {card.score:.0%} of pairs of real images are answered correctly ({low:.0%} to {high:.0%}; "
            f"chance is 50%)",
        ),
        (
            _below(card.path, limits.path),
            "it takes another path through the network than the images that activate the unit most "
            f"(similarity {card.path:.2f})",
        ),
        (
            _below(card.percentile, limits.percentile),
            f"{100 - card.percentile:.3g}% of real images activate the unit more",
        ),
        (
            _below(card.robust_percentile, limits.robust_percentile),
            f"under small transforms, {100 - card.robust_percentile:.3g}% of real images activate the unit more",
        ),
        (
            _below(card.kept, limits.kept),
            f"under small transforms, only {max(card.kept, 0):.0%} of its lead over real images is kept",
        ),
        (
            _above(share, limits.rank) if card.rank else 0,
            f"it activates {card.rank - 1} of the {card.units - 1} other units of the layer more",
        ),
        (
            _below(card.specificity, limits.specificity),
            f"the pictures of {1 - card.specificity:.0%} of the layer's other units predict this unit as well",
        ),
        (
            _above(twin, limits.twin),
            f"channel {card.nearest[0][0] if card.nearest else 0} responds to real images almost in the same way "
            f"(correlation {twin:.2f}), so the picture hardly tells the two apart",
        ),
        (
            _below(card.consistency, limits.consistency),
            f"pictures of other seeds are hardly more similar to it than those of other units (d' {card.consistency:.2f})",
        ),
        (
            _above(abs(card.slope - card.natural_slope), limits.slope),
            f"its spectral slope is {card.slope:.2f}, that of real images {card.natural_slope:.2f}: "
            + ("too much fine detail" if card.slope < card.natural_slope else "too little fine detail"),
        ),
    ]
    return sorted(((gravity, said) for gravity, said in told if gravity), key=lambda pair: -pair[0])


def _missing(card: TrustCard, images: int) -> list[str]:
    """Figures that could not be measured."""
    said = []
    if images < ENOUGH_IMAGES:
        low, high = card.interval
        said.append(
            f"{images} real image{'s are' if images != 1 else ' is'} not enough for a percentile, which lies between {low:.3g} "
            f"and {high:.3g} (at least {ENOUGH_IMAGES} are needed)"
        )
    elif not card.asked:
        said.append("the unit responds to all of these real images alike, so nothing can be predicted")
    if math.isnan(card.consistency):
        said.append("consistency over seeds was not measured (it needs two seeds and another unit)")
    return said


def _below(value: float, limits: tuple[float, float]) -> int:
    return 0 if math.isnan(value) or value >= limits[0] else 1 if value >= limits[1] else 2


def _above(value: float, limits: tuple[float, float]) -> int:
    return 0 if math.isnan(value) or value <= limits[0] else 1 if value <= limits[1] else 2


def _sentence(parts: list[str]) -> str:
    return "; ".join(parts)
