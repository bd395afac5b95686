"""What speaks for each class at each point: attributions, logits, or texts of the user."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.types import Floats

__all__ = ["SOURCES", "Evidence", "network_evidence", "rank_of_answers", "text_answers", "text_evidence"]

LOG = logging.getLogger("phosphene")

SOURCES = ("auto", "attributions", "logits")

TRUSTED_RANK = 0.75
"""Half way from chance to always first; see `rank_of_answers`."""

MOST_TEXTS = 1000
"""Texts that compete for a label, the most frequent; rarer ones are seldom those of a whole cell."""

BLOCK = 10_000
"""Points whose classes are compared at once."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of every point for every class.

    A class gets evidence that it gets everywhere (a bias of the network, a text that most images bear), so what counts is what
    is *more* than its mean over all points. The mean over all classes is taken away as well when evidence is told: a softmax
    does not see it. It changes neither the order of the classes nor the margin between two of them.

    Attributes
    ----------
    source : "attributions", "logits" or "texts"
    classes : tuple of str
        Their names.
    rows : (N, T)
        As it was found.
    base : (T,) float64
        Mean over all points.
    images : (N,) int64
        Which image each point is of.
    answers : (N,) int64, optional
        The class that is each point's own: the network's prediction for its image, or its text; -1 for a text that is too rare.
        Absent where there are no logits.
    rank : float
        How well attributions tell the network's own answer; see `rank_of_answers`. NaN where it was not asked.
    """

    source: str
    classes: tuple[str, ...]
    rows: NDArray[np.generic]
    base: Floats
    images: NDArray[np.int64]
    answers: NDArray[np.int64] | None
    rank: float = float("nan")


def network_evidence(
    attributions: NDArray[np.floating] | None,
    logits: NDArray[np.floating] | None,
    images: NDArray[np.integer],
    classes: Sequence[str] = (),
    source: str = "auto",
) -> Evidence:
    """What a network says of each point.

    Parameters
    ----------
    attributions, logits : (N, T), optional
        At least one of them.
    images : (N,) of int
    classes : sequence of str, optional
        Names of the T classes; "class 0" and so on when absent.
    source : "auto", "attributions" or "logits", default "auto"
        "auto" takes attributions where they are there and lead to the network's own answer (`rank_of_answers` of at least 0.75),
        logits otherwise. In early layers a gradient may lead nowhere: on the specimen's stage2 the rank is 0.39, worse than
        chance, and of the labels by attribution 1 in 6 was the true class (by logits 98 of 100); in stage3 the rank is 0.99.

    Returns
    -------
    Evidence

    Raises
    ------
    InvalidParameter
        For names of another number than there are classes, and for a source that is not there.
    """
    if source not in SOURCES:
        raise InvalidParameter(
            "evidence", allowed=" or ".join(map(repr, SOURCES)), received=source, fix="'auto' is usual."
        )
    answers = None if logits is None else np.asarray(logits).argmax(axis=1).astype(np.int64)
    rank = float("nan")
    chosen = source
    if source == "auto":
        chosen = "logits" if attributions is None else "attributions"
        if attributions is not None and answers is not None:
            rank = rank_of_answers(attributions, answers)
            # Of a single class it is NaN, and nothing is below that.
            if rank < TRUSTED_RANK:
                LOG.info(
                    "attributions rank the network's own answer at %.2f (0.5 is chance): logits label instead", rank
                )
                chosen = "logits"
    rows = attributions if chosen == "attributions" else logits
    if rows is None:
        raise InvalidParameter(
            "evidence", allowed="what was collected", received=source, fix="Take 'auto', or collect it as well."
        )
    names = tuple(classes) or tuple(f"class {number}" for number in range(rows.shape[1]))
    if len(names) != rows.shape[1]:
        raise InvalidParameter(
            "classes", allowed=f"{rows.shape[1]} names", received=said(f"{len(names)}"), fix="Give one a class."
        )
    base = rows.mean(axis=0, dtype=np.float64)
    return Evidence(chosen, names, rows, base, np.asarray(images, np.int64), answers, rank)


def text_answers(texts: Sequence[str], images: NDArray[np.integer]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Texts of the user as classes of points.

    Parameters
    ----------
    texts : sequence of str
        One an image: that of image i is ``texts[i]``; or one a point. Where both could be meant, one a point is.
    images : (N,) of int

    Returns
    -------
    tuple
        The 1,000 most frequent texts, the most frequent first and equally frequent ones by the alphabet; and which of them is
        each point's own ``(N,)``, -1 where it is rarer than these.

    Raises
    ------
    InvalidParameter
        For texts of another number, and for what is no list of them.
    """
    numbers = np.asarray(images, np.int64)
    last = int(numbers.max(initial=-1))
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidParameter(
            "texts", allowed="a list of str", received=said(type(texts).__name__), fix="[str(t) for t in texts]"
        )
    if len(texts) == len(numbers):
        own = list(texts)
    elif len(texts) > last:
        own = [texts[number] for number in numbers.tolist()]
    else:
        raise InvalidParameter(
            "texts", allowed=f"{len(numbers)}, one a point, or at least {last + 1}, one an image",
            received=said(f"{len(texts)}"), fix="texts[i] is that of image i.",
        )  # fmt: skip
    counts = Counter(own)
    names = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_TEXTS]
    place = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([place.get(text, -1) for text in own], np.int64)


def text_evidence(names: Sequence[str], answers: NDArray[np.integer], images: NDArray[np.integer]) -> Evidence:
    """What texts of the user say of each point: 1 for its own, 0 for all others.

    Parameters
    ----------
    names : sequence of str
    answers : (N,) of int
        See `text_answers`.
    images : (N,) of int

    Returns
    -------
    Evidence
        Means of it are frequencies, and the base is how frequent a text is over all points.
    """
    own = np.asarray(answers, np.int64)
    rows = (own[:, None] == np.arange(len(names))).astype(np.uint8)
    base = np.bincount(own[own >= 0], minlength=len(names)) / len(own)
    return Evidence("texts", tuple(names), rows, base, np.asarray(images, np.int64), own)


def rank_of_answers(rows: NDArray[np.floating], answers: NDArray[np.integer]) -> float:
    """How far up a point's evidence for its own answer is among that for all classes, averaged over points.

    Parameters
    ----------
    rows : (N, T)
        Evidence; means of the classes over all points are taken away first.
    answers : (N,) of int

    Returns
    -------
    float
        In [0, 1]: the part of the other classes with less evidence. 1 where it is always first, 0.5 for chance, whatever the
        number of classes. NaN for a single class.
    """
    if rows.shape[1] < 2:
        return float("nan")
    base = rows.mean(axis=0, dtype=np.float64)
    total = 0.0
    for begin in range(0, len(rows), BLOCK):
        part = rows[begin : begin + BLOCK] - base
        own = np.take_along_axis(part, np.asarray(answers[begin : begin + BLOCK])[:, None], axis=1)
        below, equal = (part < own).sum(axis=1), (part == own).sum(axis=1) - 1
        total += float((below + equal / 2).sum())
    return total / (len(rows) * (int(rows.shape[1]) - 1))
