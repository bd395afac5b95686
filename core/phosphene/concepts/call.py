"""`concept`: test whether a layer represents a concept given by examples, and whether a target uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.backend import Network
from phosphene.concepts.result import LEVEL, Concept
from phosphene.concepts.sensitivity import steepest
from phosphene.data.declaration import ImagesLike
from phosphene.data.digests import Digests, digest_of_all
from phosphene.data.in_memory import read_images
from phosphene.draws import generator, short_seed
from phosphene.errors import InvalidImages, InvalidParameter, said
from phosphene.extraction.call import activations
from phosphene.features.factorization import scikit_learn
from phosphene.kit.arguments import capped
from phosphene.kit.checks import a_network, seed_of, text
from phosphene.kit.finite import finite_part, mean_over_positions
from phosphene.kit.provenance import describe
from phosphene.objectives import Objective
from phosphene.objectives.location import ShapesAt
from phosphene.objectives.targets import target_objective
from phosphene.types import Floats, UserObjective

__all__ = ["concept"]

FEWEST = 5
"""Smallest number of images per set; fewer allow too few permutations."""

FEWEST_TRIALS = int(1 / LEVEL)
"""Smallest number of trials; with fewer no p could be below the level, since the smallest is ``1 / (1 + trials)``."""

MOST_ASKED = 10_000
"""Largest number of trials, and of folds: more trials show the smallest p more finely than it can be told apart."""

USUAL_TRIALS, MOST_TRIALS = 60, 200
"""Default numbers of trials for large and for small matrices of examples and channels."""

CHEAP = 4_000_000
"""Trials times examples times channels up to which more trials than usual are run: some seconds."""


def concept(
    network: Network,
    layer: str,
    positives: ImagesLike,
    negatives: ImagesLike,
    *,
    target: int | str | Objective | UserObjective | None = None,
    images: ImagesLike | None = None,
    trials: int | None = None,
    folds: int = 5,
    seed: int = 0,
    label: str = "concept",
) -> Concept:
    """Find the direction of a concept in a layer, and test it against random concepts (TCAV, Kim et al. 2018).

    The direction is the normal of a linear classifier between positives and negatives, trained on the layer's activations
    averaged over positions. Such a direction exists for any two sets of images, so its accuracy, and the sensitivity of the
    target along it, are compared with those of random concepts, for which positives and negatives are permuted. For two sets
    that differ only by chance, each of the two tests is significant in at most one case of twenty.

    Parameters
    ----------
    network : Network
        From `phosphene.wrap` or `phosphene.load`.
    layer : str
        Path of a layer.
    positives, negatives : images
        Images with the concept, and otherwise similar images without it: anything that `phosphene.images` takes, at least 5
        (and at least `folds`) each. Any other difference between the sets becomes part of the concept.
    target : int, str, objective or function, optional
        The target whose use of the concept is tested: a class by index or name, or any objective.
    images : images, optional
        Images on which the sensitivity of the target is measured (default: the negatives).
    trials : int, optional
        Number of random concepts, at least 20 (default: from 60 for many examples and channels to 200 for few). The smallest p is
        ``1 / (1 + trials)``, and nothing is significant that one random concept more or less would change: that takes at
        least 40.
    folds : int, default 5
        Number of cross-validation folds.
    seed : int, default 0
        Random seed; equal seeds give equal results on one machine.
    label : str, default "concept"
        Name of the concept in titles.

    Returns
    -------
    Concept

    Raises
    ------
    UnknownLayer, UnknownClass
        For a layer or a class that the network does not have.
    InvalidImages
        For images of the wrong shape, dtype or range, and for fewer than 5 or `folds` images in a set.
    InvalidObjective
        For a target that does not depend on the layer.
    InvalidParameter
        For fewer than 20 trials or 2 folds, or `images` without a target.
    MissingDependency
        When scikit-learn is not installed.
    """
    a_network(network).layers[layer]
    trials = None if trials is None else capped("trials", trials, minimum=FEWEST_TRIALS, most=MOST_ASKED)
    folds = capped("folds", folds, minimum=2, most=MOST_ASKED)
    seed = seed_of(seed)
    label = text("label", label, fix='For example label="stripes".')
    if target is None and images is not None:
        raise InvalidParameter(
            "target",
            allowed="a target whose sensitivity is measured on `images`",
            received=None,
            fix='For example a class: target="coins"; or leave images out.',
        )
    wanted = None if target is None else target_objective(target)
    examples = _pictures(network, positives, "positives", max(FEWEST, folds))
    others = _pictures(network, negatives, "negatives", max(FEWEST, folds))
    slopes: Floats = np.empty((0, 0))
    title, looked = "", 0
    shown = others
    if wanted is not None:  # before training the classifiers, so that an invalid target is reported at once
        if images is not None:
            shown = _pictures(network, images, "images", 1)
        bound = wanted.bind(network, ShapesAt(network, (shown.shape[1], shown.shape[2])))
        slopes, title, looked = steepest(network, bound, layer, shown), bound.label, len(shown)
    vectors = np.concatenate([_averaged(network, examples, layer), _averaged(network, others, layer)])
    rows, columns = finite_part(vectors)
    if not rows.all() or not columns.any():
        raise InvalidParameter(
            "layer",
            allowed="a layer with finite activations for all examples",
            received=layer,
            fix="ph.diagnose finds the first layer whose values are NaN or infinite.",
        )
    if trials is None:
        trials = max(USUAL_TRIALS, min(MOST_TRIALS, CHEAP // vectors.size))
    vectors[:, ~columns] = 0.0  # a constant channel is ignored; `activations` has warned
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
        "positives": _identity(examples),
        "negatives": _identity(others),
        "images": _identity(shown) if looked else None,
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
        # The mean includes the tested concept: under the null hypothesis all of them must be exchangeable.
        p_used=_share(np.abs(sensitivities - sensitivities.mean())) if looked else float("nan"),
        target=title,
        counts={"positives": len(examples), "negatives": len(others), "images": looked},
        settings=settings,
    )


@dataclass(frozen=True)
class Linear:
    """A linear classifier: its cross-validated accuracy, and its normal of unit length."""

    accuracy: float
    vector: Floats


def _read(vectors: Floats, positive: NDArray[np.bool_], folds: int, seed: int) -> Linear:
    """Train a classifier on `vectors` ``(N, C)``: on all of them for the direction, cross-validated for the accuracy."""
    parts = scikit_learn("model_selection").StratifiedKFold(folds, shuffle=True, random_state=short_seed(seed))
    right = []
    for known, unknown in parts.split(vectors, positive):
        normal, offset = _normal(vectors[known], positive[known])
        said_positive, truth = vectors[unknown] @ normal + offset > 0, positive[unknown]
        right.append((said_positive[truth].mean() + (~said_positive[~truth]).mean()) / 2)
    normal, _ = _normal(vectors, positive)
    length = float(np.sqrt(np.square(normal).sum()))
    return Linear(float(np.mean(right)), normal / length if length > 0 else normal)


def _normal(vectors: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Normal and offset, in the original channel space, of a logistic regression on standardised channels."""
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    # Channels that are constant up to rounding are ignored; standardising would amplify the rounding.
    moving = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scale = np.where(moving, deviation, np.inf)
    model = scikit_learn("linear_model").LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit((vectors - mean) / scale, positive)
    normal: Floats = model.coef_[0] / scale
    return normal, float(model.intercept_[0] - mean @ normal)


def _share(values: Floats) -> float:
    """Share of values that are at least the first, including itself; differences by rounding count as equal."""
    return float(np.mean(values >= values[0] - 1e-9))


def _averaged(network: Network, images: NDArray[np.float32], layer: str) -> Floats:
    """Activations averaged over positions, ``(N, C)``."""
    return mean_over_positions(activations(network, images, layer)[layer])


def _pictures(network: Network, images: Any, name: str, fewest: int) -> NDArray[np.float32]:
    """Load and check at least `fewest` images."""
    empty = isinstance(images, (list, tuple, np.ndarray)) and not len(images)
    array = np.zeros((0, 1, 1, 1), np.float32) if empty else read_images(images, network.input, parameter=name)
    if len(array) < fewest:
        raise InvalidImages(
            name,
            allowed=f"at least {fewest} images",
            received=said(f"{len(array)}"),
            fix="Give more images, or fewer folds." if fewest > FEWEST else "Give more images.",
        )
    return array


def _identity(images: NDArray[np.float32]) -> str:
    digests = Digests()
    for image in images:
        digests(image)
    return f"{len(images)} images {digest_of_all(digests.taken())}"
