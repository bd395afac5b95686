"""`concept`: whether a layer has a concept that is given by examples, and whether a target makes use of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.activations import ImagesLike, activations
from phosphene.backend import Network
from phosphene.data.sources import source_of
from phosphene.data.streaming import loaded
from phosphene.draws import generator, integer
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.features.learning import scikit_learn
from phosphene.features.sensitivity import steepest
from phosphene.images import check_images
from phosphene.objectives import Objective, target_objective
from phosphene.rendering import describe
from phosphene.results.concept import LEVEL, Concept
from phosphene.types import Floats, UserObjective

__all__ = ["concept"]

FEWEST = 5
"""Images of a set; with fewer there are too few ways to exchange them."""

FEWEST_TRIALS = int(1 / LEVEL)
"""With fewer, no figure could be significant: the smallest p is one of trials and one."""


def concept(
    network: Network,
    layer: str,
    positives: ImagesLike,
    negatives: ImagesLike,
    *,
    target: int | str | Objective | UserObjective | None = None,
    images: ImagesLike | None = None,
    trials: int = 60,
    folds: int = 5,
    seed: int = 0,
    label: str = "concept",
) -> Concept:
    """A concept as the direction that tells its examples from other images, tested against random ones (Kim et al. 2018).

    The direction is the normal of a linear classifier of the layer's activations, averaged over positions. A direction is found
    for any two sets, so that all that is said of it is compared with what is found when positives and negatives are exchanged at
    random: how well a classifier tells the sets apart, and how much the target changes along it. Where the two sets differ in
    nothing but chance, each of the two tests finds something in one case of twenty.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    layer : str
        Path of a layer.
    positives, negatives : array-like (N, H, W, C), path, sequence or iterable
        Images with the concept, and images without it that are otherwise alike; as of `phosphene.activations`, at least 5 (and
        `folds`) each. What else the sets differ in is part of the concept.
    target : int, str, objective or function, optional
        What may make use of it: a class by index or name, or any objective.
    images : array-like (N, H, W, C), path, sequence or iterable, optional
        Where the target is looked at; the negatives when absent.
    trials : int, default 60
        Random concepts, at least 20. The smallest p is ``1 / (1 + trials)``.
    folds : int, default 5
        Parts; each in turn is what the classifier did not see.
    seed : int, default 0
        Of exchanges and folds; equal seeds give equal figures on one machine.
    label : str, default "concept"
        What it is called.

    Returns
    -------
    Concept

    Raises
    ------
    UnknownLayer, UnknownClass
        For a layer or a class that is not there.
    InvalidImages
        For images of the wrong shape, dtype or range, and for fewer than 5 or `folds` in a set.
    InvalidObjective
        For a target that does not depend on the layer.
    InvalidParameter
        For fewer than 20 trials or 2 folds, or `images` without a target.
    MissingDependency
        When scikit-learn is not installed.
    """
    network.layers[layer]
    trials, folds = integer("trials", trials, minimum=FEWEST_TRIALS), integer("folds", folds, minimum=2)
    seed = integer("seed", seed)
    if target is None and images is not None:
        raise InvalidParameter(
            "target", allowed="a target, to be looked at on `images`", received=None, fix="For example a class."
        )
    wanted = None if target is None else target_objective(target)
    examples = _pictures(network, positives, "positives", max(FEWEST, folds))
    others = _pictures(network, negatives, "negatives", max(FEWEST, folds))
    slopes: Floats = np.empty((0, 0))
    title, looked = "", 0
    shown = others
    if wanted is not None:  # before the classifiers, which take longer: a target that does not fit is refused at once
        if images is not None:
            shown = _pictures(network, images, "images", 1)
        bound = wanted.bind(network, network.shapes((shown.shape[1], shown.shape[2])))
        slopes, title, looked = steepest(network, bound, layer, shown), bound.label, len(shown)
    vectors = np.concatenate([_averaged(network, examples, layer), _averaged(network, others, layer)])
    order = np.arange(len(vectors)) < len(examples)
    readings = [_read(vectors, order, folds, seed)]
    random = generator(seed, "concept", layer)
    readings += [_read(vectors, random.permutation(order), folds, seed) for _ in range(trials)]
    accuracies = np.asarray([reading.accuracy for reading in readings])
    directions = np.stack([reading.vector for reading in readings])
    sensitivities = (slopes @ directions.T).mean(axis=0) if looked else np.full(1, np.nan)
    settings = {
        **describe(network, seed, network.input.size),
        "layer": layer,
        "trials": trials,
        "folds": folds,
        "target": title,
        "positives": _identity(network, examples),
        "negatives": _identity(network, others),
        "images": _identity(network, shown) if looked else None,
    }
    return Concept(
        layer=layer,
        label=label,
        vector=directions[0],
        accuracy=float(accuracies[0]),
        accuracy_null=accuracies[1:],
        p_present=_share(accuracies),
        sensitivity=float(sensitivities[0]),
        sensitivity_null=sensitivities[1:],
        # The mean is of all, the first among them: only so is none of them special where there is nothing to find.
        p_used=_share(np.abs(sensitivities - sensitivities.mean())) if looked else float("nan"),
        target=title,
        counts={"positives": len(examples), "negatives": len(others), "images": looked},
        settings=settings,
    )


@dataclass(frozen=True)
class Linear:
    """What a linear classifier found: its accuracy on what it did not see, and its normal, of unit length."""

    accuracy: float
    vector: Floats


def _read(vectors: Floats, positive: NDArray[np.bool_], folds: int, seed: int) -> Linear:
    """A classifier of `vectors` ``(N, C)``: fitted to all for the direction, and `folds` times to a part for the accuracy."""
    parts = scikit_learn("model_selection").StratifiedKFold(folds, shuffle=True, random_state=seed)
    right = []
    for known, unknown in parts.split(vectors, positive):
        normal, offset = _normal(vectors[known], positive[known])
        said_positive, truth = vectors[unknown] @ normal + offset > 0, positive[unknown]
        right.append((said_positive[truth].mean() + (~said_positive[~truth]).mean()) / 2)
    normal, _ = _normal(vectors, positive)
    length = float(np.sqrt(np.square(normal).sum()))
    return Linear(float(np.mean(right)), normal / length if length > 0 else normal)


def _normal(vectors: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Normal and offset, in the raw space of channels, of a logistic regression on standardised channels."""
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    # A channel that is the same in all images says nothing: dividing by next to nothing must not make it loud.
    moving = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scale = np.where(moving, deviation, np.inf)
    model = scikit_learn("linear_model").LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit((vectors - mean) / scale, positive)
    normal: Floats = model.coef_[0] / scale
    return normal, float(model.intercept_[0] - mean @ normal)


def _share(values: Floats) -> float:
    """Share of values that reach the first, itself among them; what differs by rounding alone is equal."""
    return float(np.mean(values >= values[0] - 1e-9))


def _averaged(network: Network, images: NDArray[np.float32], layer: str) -> Floats:
    """One vector an image, ``(N, C)``: the mean over all positions."""
    read = activations(network, images, layer)[layer].astype(np.float64)
    vectors: Floats = read.reshape(len(read), -1, read.shape[-1]).mean(axis=1)
    return vectors


def _pictures(network: Network, images: Any, name: str, fewest: int) -> NDArray[np.float32]:
    """Images in memory, checked; at least `fewest`."""
    spec = network.input
    files = isinstance(images, (list, tuple)) and len(images) > 0 and isinstance(images[0], (str, Path))
    if files or not isinstance(images, (np.ndarray, list, tuple)):
        source = source_of(images, spec.size, spec.channels)
        images = loaded(source, spec.size, spec.channels)
    if np.shape(images)[:1] == (0,) if isinstance(images, np.ndarray) else not images:
        array = np.zeros((0, *spec.size, spec.channels), np.float32)
    else:
        array = check_images(images, spec, parameter=name)
    if len(array) < fewest:
        raise InvalidImages(
            name, allowed=f"at least {fewest} images", received=said(f"{len(array)}"),
            fix="Give more of them, or fewer folds." if fewest > FEWEST else "Give more of them.",
        )  # fmt: skip
    return array


def _identity(network: Network, images: NDArray[np.float32]) -> str:
    return source_of(images, network.input.size, network.input.channels).identity()
