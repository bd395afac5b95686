"""`assess`: measure how far each picture can be trusted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.errors import InvalidParameter, said
from phosphene.kit.arguments import capped
from phosphene.kit.checks import a_network, instance, integer, listed_or_one, one_per
from phosphene.kit.images import check_images
from phosphene.kit.progress import Progress, check_progress, reporter
from phosphene.objectives import Bound, Objective
from phosphene.objectives.targets import as_objectives
from phosphene.rendering.result import Renders
from phosphene.trust.judges import Checked, Judge, witness
from phosphene.trust.natural_images import (
    Responses,
    bound_at,
    channel_of,
    competitors,
    path_layers,
    real_images,
    responses,
)
from phosphene.trust.paths import path_similarity
from phosphene.trust.prediction import answered, pairs_of, specificity
from phosphene.trust.result import TrustCard, TrustCards
from phosphene.trust.robustness import robust_values
from phosphene.trust.scores import percentiles, spectral_slope, wilson
from phosphene.trust.seeds import consistency, more_runs, objectives_of, of_one_layer
from phosphene.trust.verdict import THRESHOLDS, Thresholds, verdict
from phosphene.types import Floats, UserObjective

__all__ = ["assess"]

MOST_SEEDS, MOST_DRAWS = 100, 10_000
"""Largest numbers of runs, each of which is rendered, and of transforms of a picture."""

PATCHES = 5
"""Real images to show per picture: those that activate its unit most, and least."""

NEAREST = 3
"""Most similar other channels to list per picture."""


def assess(
    network: Network,
    renders: Renders | Sequence[Renders],
    images: ImagesLike = "photos:1000",
    *,
    objectives: Sequence[Objective | UserObjective] | None = None,
    seeds: int = 3,
    judge: Judge | None = None,
    pairs: int = 100,
    draws: int = 16,
    thresholds: Thresholds = THRESHOLDS,
    progress: Callable[[Progress], bool | None] | bool | None = None,
) -> TrustCards:
    """Measure how far each picture can be trusted.

    Feature visualizations can mislead: by noise that no natural image contains (Nguyen et al. 2015), and by circuits that
    respond to them alone (Geirhos et al. 2023). Each picture is therefore compared with real images, pictures of other seeds,
    transformed copies of itself, and the path of real images through the layers; and a blind judge has to predict the unit's
    responses from it (Zimmermann et al. 2021).

    Parameters
    ----------
    network : Network
        The network that the pictures were made for.
    renders : Renders or sequence of Renders
        From `phosphene.render`. Several must be runs of one call with different seeds; the first is judged.
    images : images, default "photos:1000"
        Typical inputs of the network: anything that `phosphene.images` takes. A percentile needs at least 200, better a thousand.
    objectives : sequence of objective or function, optional
        One objective per picture (default: read from the result; this fails for functions of your own).
    seeds : int, default 3
        Number of runs over which consistency is measured. Missing runs are rendered with the settings of the first and the next
        seeds, as are up to eight other channels when there are pictures of fewer than eight units. 1 renders nothing.
    judge : callable, optional
        A perceptual distance ``(pictures (U, H, W, C), patches (P, h, w, C)) -> (U, P)`` that does not depend on `network`
        (default: `phosphene.trust.witness`).
    pairs : int, default 100
        Largest number of questions per picture; at most a tenth of the images.
    draws : int, default 16
        Held-out transforms per picture.
    thresholds : Thresholds
        Limits of the verdicts "reliable", "doubtful" and "failed".
    progress : callable or bool, optional
        See `phosphene.render`.

    Returns
    -------
    TrustCards

    Raises
    ------
    InvalidParameter
        When the number of objectives differs from that of the pictures, the objectives cannot be read from the result, the runs
        show different pictures, or a number is outside its range.
    InvalidImages
        For images of the wrong shape, dtype or range.
    """
    a_network(network)
    runs = list(listed_or_one("renders", renders, Renders, "a phosphene.Renders", "ph.render(net, objectives)"))
    instance("thresholds", thresholds, Thresholds, "phosphene.trust.Thresholds", "Thresholds(kept=(0.7, 0.4))")
    if judge is not None and (not callable(judge) or isinstance(judge, type)):
        raise InvalidParameter(
            "judge",
            allowed="a function of pictures and patches that returns their distances, or None",
            received=judge,
            fix="Leave it out for phosphene.trust.witness.",
        )
    check_progress(progress)
    if not runs or any(run.labels != runs[0].labels or run.images.shape != runs[0].images.shape for run in runs):
        raise InvalidParameter(
            "renders",
            allowed="one result, or several results of the same pictures with different seeds",
            received=said(f"{len(runs)} results of different pictures" if runs else "none"),
            fix="Call ph.render with the same objectives and another seed.",
        )
    seeds, pairs = capped("seeds", seeds, minimum=1, most=MOST_SEEDS), integer("pairs", pairs, minimum=1)
    draws = capped("draws", draws, minimum=1, most=MOST_DRAWS)
    given = objectives_of(network, runs[0]) if objectives is None else as_objectives(objectives)
    one_per("objectives", given, len(runs[0]), "picture")
    natural = real_images(network, images)
    steps = ("images", "seeds", "transforms", "pairs")
    begun = time.perf_counter()
    with reporter(progress, "trust", len(steps)) as tell:

        def done(count: int) -> None:
            tell(Progress(count, len(steps), "steps", time.perf_counter() - begun, steps[min(count, len(steps) - 1)]))

        observed = _observed(network, given, runs[0], natural)
        done(1)
        judge = witness(network.backend, min(network.input.size)) if judge is None else Checked(judge)
        runs, others = more_runs(network, given, observed.bound, runs, seeds)
        alike = consistency(judge, [run.images for run in runs], observed.bound, others)
        done(2)
        robust = robust_values(network, given, runs[0].images, draws=draws)
        done(3)
        cards = _cards(observed, runs[0], robust, alike, judge, pairs, others)
        done(4)
    cards = tuple(
        replace(card, word=word, reason=reason)
        for card in cards
        for word, reason in [verdict(card, len(natural), thresholds)]
    )
    settings = {**runs[0].settings, "images": len(natural), "seeds": len(runs), "pairs": pairs, "draws": draws}
    return TrustCards(cards, len(natural), settings)


@dataclass(frozen=True)
class Observed:
    """Responses to real images and to the pictures, with the objectives bound at the size of each."""

    bound: list[Bound]
    shown: list[Bound]
    images: NDArray[np.float32]
    natural: Responses
    pictures: Responses
    layers: tuple[tuple[str, ...], ...]


def _observed(
    network: Network, objectives: Sequence[Objective], renders: Renders, images: NDArray[np.float32]
) -> Observed:
    pictures = check_images(renders.images, network.input)
    bound, shown = bound_at(network, objectives, images), bound_at(network, objectives, pictures)
    layers = tuple(path_layers(network, item) for item in bound)
    every = tuple(dict.fromkeys(layer for own in layers for layer in own))
    return Observed(
        bound,
        shown,
        images,
        responses(network, bound, every, images),
        responses(network, shown, every, pictures),
        layers,
    )


def _cards(
    observed: Observed,
    renders: Renders,
    robust: Floats,
    alike: Floats,
    judge: Judge,
    most: int,
    others: Mapping[int, NDArray[np.float32]],
) -> tuple[TrustCard, ...]:
    natural, images = observed.natural.values, observed.images
    asked_pairs = pairs_of(natural, most=most, seed=0)
    distances = np.asarray(judge(renders.images, images), np.float64)
    # Units of one layer share the pictures of other units, which are judged once.
    further = {
        id(shown): np.asarray(judge(shown, images), np.float64)
        for shown in {id(shown): shown for shown in others.values()}.values()
    }
    right, asked = answered(asked_pairs, distances)
    best, _ = answered(asked_pairs, np.asarray(judge(images[asked_pairs.reference], images), np.float64))
    own_alone = specificity(
        asked_pairs, distances, of_one_layer(observed.bound), {row: further[id(shown)] for row, shown in others.items()}
    )
    low, high = wilson(right, asked)
    paths = path_similarity(natural, observed.natural.path, observed.pictures.path, observed.layers)
    slopes = np.asarray([spectral_slope(image) for image in images[:500]])
    natural_slope = float(np.median(slopes[~np.isnan(slopes)])) if not np.isnan(slopes).all() else float("nan")
    clean, own = renders.values, percentiles(renders.values, natural)
    least, most_ = wilson(own / 100 * len(images), len(images))
    transformed = percentiles(robust, natural)
    mean = natural.mean(axis=1)
    cards = []
    for row, label in enumerate(renders.labels):
        rank, units = _rank(observed, row, float(clean[row]))
        lead = clean[row] - mean[row]
        strongest, weakest = _extremes(natural[row])
        cards.append(
            TrustCard(
                label=label,
                word="",
                reason="",
                picture=renders.images[row],
                clean=float(clean[row]),
                robust=float(robust[row]),
                percentile=float(own[row]),
                robust_percentile=float(transformed[row]),
                interval=(100 * float(least[row]), 100 * float(most_[row])),
                kept=float((robust[row] - mean[row]) / lead) if lead > 0 else 0.0,
                rank=rank,
                units=units,
                consistency=float(alike[row]),
                path=float(paths[row]),
                slope=spectral_slope(renders.images[row]),
                natural_slope=natural_slope,
                score=float(right[row] / asked[row]) if asked[row] else float("nan"),
                score_interval=(float(low[row]), float(high[row])),
                natural_score=float(best[row] / asked[row]) if asked[row] else float("nan"),
                asked=int(asked[row]),
                specificity=float(own_alone[row]),
                strongest=images[strongest],
                weakest=images[weakest],
                nearest=_nearest(observed, row),
            )
        )
    return tuple(cards)


def _rank(observed: Observed, row: int, clean: float) -> tuple[int, int]:
    """Rank of the target among the channels of its layer on its picture, each standardised by its values on real images."""
    key, other = competitors(observed.bound[row]), competitors(observed.shown[row])
    if key is None or other is None:
        return 0, 0
    natural, values = observed.natural.units[key], observed.natural.values[row]
    picture = observed.pictures.units[other][row]
    deviation = natural.std(axis=0)
    scores = (picture - natural.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    own = (clean - values.mean()) / max(float(values.std()), 1e-12)
    if (channel := channel_of(observed.bound[row])) is not None:
        scores = np.delete(scores, channel)
    return 1 + int((scores > own).sum()), len(scores) + 1


def _extremes(values: Floats) -> tuple[list[int], list[int]]:
    order = np.argsort(values, kind="stable")
    return order[::-1][:PATCHES].tolist(), order[:PATCHES].tolist()


def _nearest(observed: Observed, row: int) -> tuple[tuple[int, float], ...]:
    """Channels whose values over real images are most correlated with the target's."""
    key = competitors(observed.bound[row])
    values = observed.natural.values[row]
    if key is None or not values.std() > 0:
        return ()
    natural = observed.natural.units[key]
    centred, own = natural - natural.mean(axis=0), values - values.mean()
    scale = np.linalg.norm(centred, axis=0) * np.linalg.norm(own)
    correlation = np.where(scale > 0, centred.T @ own / np.where(scale > 0, scale, 1.0), -1.0)
    if (channel := channel_of(observed.bound[row])) is not None:
        correlation[channel] = -1.0
    best = np.argsort(-correlation, kind="stable")[:NEAREST]
    return tuple((int(index), float(correlation[index])) for index in best)
