"""Evidence for each class at each point: attributions, logits, or the user's texts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import choice, one_per
from phosphene.types import Floats

__all__ = ["SOURCES", "Evidence", "network_evidence", "rank_of_answers", "text_answers", "text_evidence"]

LOG = logging.getLogger("phosphene")

SOURCES = ("auto", "attributions", "logits")

TRUSTED_RANK = 0.75
"""Half way between chance (0.5) and always first (1); see `rank_of_answers`."""

MOST_TEXTS = 1000
"""Number of most frequent texts that compete for a label; rarer ones seldom describe a whole cell."""

BLOCK = 10_000
"""Number of points whose classes are compared at once."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of every point for every class.

    Some of the evidence for a class is the same everywhere (a bias of the network, a text that most images have), so evidence is
    measured relative to its mean over all points. Reported evidence is also relative to the mean over all classes, to which a
    softmax is invariant; this changes neither the order of the classes nor the margin between two of them.

    Attributes
    ----------
    source : "attributions", "logits" or "texts"
    classes : tuple of str
        Names of the T classes.
    rows : (N, T)
        Evidence as collected.
    base : (T,) float64
        Mean over all points.
    images : (N,) int64
        Number of the image of each point.
    answers : (N,) int64, optional
        The class of each point: the network's prediction for its image, or its text; -1 for a rare text. None without logits.
    rank : float
        How well attributions identify the network's prediction; see `rank_of_answers`. NaN if it was not computed.
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
    """The evidence of a network for each class at each point.

    Parameters
    ----------
    attributions, logits : (N, T), optional
        At least one of them.
    images : (N,) of int
        Number of the image of each point.
    classes : sequence of str, optional
        Names of the T classes (default: "class 0", "class 1", ...).
    source : "auto", "attributions" or "logits", default "auto"
        "auto" uses attributions if they identify the network's prediction (`rank_of_answers` of at least 0.75), else logits. In
        early layers gradients may be uninformative: in the specimen's stage2 the rank is 0.39, worse than chance, and 1 in 6
        labels by attribution was the true class (98 in 100 by logits); in stage3 the rank is 0.99.

    Returns
    -------
    Evidence

    Raises
    ------
    InvalidParameter
        For a number of names that differs from the number of classes, and for a source that was not collected.
    """
    choice("evidence", source, SOURCES)
    answers = None if logits is None else np.asarray(logits).argmax(axis=1).astype(np.int64)
    rank = float("nan")
    chosen = source
    if source == "auto":
        chosen = "logits" if attributions is None else "attributions"
        if attributions is not None and answers is not None:
            rank = rank_of_answers(attributions, answers)
            # For a single class the rank is NaN, and the comparison false.
            if rank < TRUSTED_RANK:
                LOG.info(
                    "attributions rank the network's prediction at %.2f (chance: 0.5), so labels are based on logits",
                    rank,
                )
                chosen = "logits"
    rows = attributions if chosen == "attributions" else logits
    if rows is None:
        raise InvalidParameter(
            "evidence",
            allowed="a source that was collected",
            received=source,
            fix="Use evidence='auto', or collect the atlas with it.",
        )
    names = tuple(classes) or tuple(f"class {number}" for number in range(rows.shape[1]))
    one_per("classes", names, rows.shape[1], "class")
    base = rows.mean(axis=0, dtype=np.float64)
    return Evidence(chosen, names, rows, base, np.asarray(images, np.int64), answers, rank)


def text_answers(texts: Sequence[str], images: NDArray[np.integer]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The user's texts as classes of the points.

    Parameters
    ----------
    texts : sequence of str
        One per image (``texts[i]`` for image i) or one per point. If their number fits both, one per point is assumed.
    images : (N,) of int
        Number of the image of each point.

    Returns
    -------
    names : tuple of str
        The 1,000 most frequent texts, by descending frequency, then alphabetically.
    answers : (N,) int64
        Index of each point's text among these; -1 for rarer texts.

    Raises
    ------
    InvalidParameter
        For a number of texts that is neither that of the images nor that of the points, and for anything but a list of str.
    """
    numbers = np.asarray(images, np.int64)
    last = int(numbers.max(initial=-1))
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidParameter(
            "texts",
            allowed="a list of str",
            received=said(type(texts).__name__),
            fix="For example [str(t) for t in texts].",
        )
    if len(texts) == len(numbers):
        own = list(texts)
    elif len(texts) > last:
        own = [texts[number] for number in numbers.tolist()]
    else:
        raise InvalidParameter(
            "texts",
            allowed=f"{len(numbers)} texts (one per point) or at least {last + 1} (one per image)",
            received=said(f"{len(texts)}"),
            fix="Give one text per image, so that texts[i] describes image i.",
        )
    counts = Counter(own)
    names = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_TEXTS]
    place = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([place.get(text, -1) for text in own], np.int64)


def text_evidence(names: Sequence[str], answers: NDArray[np.integer], images: NDArray[np.integer]) -> Evidence:
    """The evidence of the user's texts at each point: 1 for its own text, 0 for all others.

    Parameters
    ----------
    names : sequence of str
    answers : (N,) of int
        See `text_answers`.
    images : (N,) of int
        Number of the image of each point.

    Returns
    -------
    Evidence
        Its means are frequencies; `base` is the frequency of each text over all points.
    """
    own = np.asarray(answers, np.int64)
    rows = (own[:, None] == np.arange(len(names))).astype(np.uint8)
    base = np.bincount(own[own >= 0], minlength=len(names)) / len(own)
    return Evidence("texts", tuple(names), rows, base, np.asarray(images, np.int64), own)


def rank_of_answers(rows: NDArray[np.floating], answers: NDArray[np.integer]) -> float:
    """The mean rank of a point's own class by evidence, scaled to [0, 1].

    Parameters
    ----------
    rows : (N, T)
        Evidence; the mean of each class over all points is subtracted first.
    answers : (N,) of int
        The class of each point.

    Returns
    -------
    float
        Share of the other classes with less evidence: 1 if the own class is always first, 0.5 by chance, whatever the number of
        classes. NaN for a single class.
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
