"""`TrustCards`: how far each picture can be trusted, by figures, one word and a reason."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.results.quiz import Quiz

__all__ = ["WORDS", "TrustCard", "TrustCards"]

WORDS = ("reliable", "doubtful", "failed", "not judged")
"""From best to worst; the last where the images or the seeds do not suffice for a word."""

NAN = float("nan")


@dataclass(frozen=True)
class TrustCard:
    """How far one picture can be trusted. A figure that could not be measured is NaN, and `reason` says why.

    Attributes
    ----------
    label : str
        Of the picture.
    word : str
        One of `WORDS`.
    reason : str
        Why, in plain English.
    picture : (H, W, C) float32
    clean, robust : float
        The objective on the picture, and its mean over held-out transforms.
    percentile, robust_percentile : float
        Share of real images that give less, in percent.
    interval : (float, float)
        Of `percentile`, 95%, by how many images there were.
    kept : float
        How much of the picture's lead over the natural mean is left under transforms: 1 is all.
    rank, units : int
        Place of the unit among `units` of its layer on the picture, each in deviations of its own natural values; 0 where the
        objective is no unit or direction of one layer.
    consistency : float
        How much more alike the pictures of this unit are over seeds than those of different units, in deviations (d').
    path : float
        How much of the way through the layers the picture shares with the unit's strongest images; see
        `phosphene.trust.paths.path_similarity`.
    slope, natural_slope : float
        Fall of the picture's spectrum, and the median of real images.
    score, score_interval : float, (float, float)
        The predictive score: share of pairs of real patches in which a blind judge, who has only the picture, tells which excites
        the unit more; with its 95% interval. 0.5 is chance.
    natural_score : float
        The same with the strongest real image in the picture's place.
    asked : int
        Pairs.
    specificity : float
        Share of the pictures of other units of the layer that tell fewer of these pairs apart.
    people, people_interval : float, (float, float)
        The same of people who took the quiz; see `TrustCards.with_answers`.
    strongest, weakest : (K, h, w, C) float32
        Real images that excite the unit most and least.
    nearest : tuple of (int, float)
        Channels of the layer that answer to real images most as this unit does, with the correlation.
    """

    label: str
    word: str
    reason: str
    picture: NDArray[np.float32] = field(repr=False)
    clean: float
    robust: float
    percentile: float = NAN
    robust_percentile: float = NAN
    interval: tuple[float, float] = (0.0, 100.0)
    kept: float = NAN
    rank: int = 0
    units: int = 0
    consistency: float = NAN
    path: float = NAN
    slope: float = NAN
    natural_slope: float = NAN
    score: float = NAN
    score_interval: tuple[float, float] = (0.0, 1.0)
    natural_score: float = NAN
    asked: int = 0
    specificity: float = NAN
    people: float = NAN
    people_interval: tuple[float, float] = (0.0, 1.0)
    strongest: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.float32), repr=False)
    weakest: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.float32), repr=False)
    nearest: tuple[tuple[int, float], ...] = ()

    @property
    def standing(self) -> tuple[int, float, float]:
        """By which cards are put in order, the better the larger: by the word, then the score, then what transforms leave."""
        place = {"reliable": 3, "doubtful": 2, "not judged": 1, "failed": 0}[self.word]
        return place, _or_least(self.score), _or_least(self.kept)


def _or_least(value: float) -> float:
    return float("-inf") if math.isnan(value) else value


COLUMNS = (
    *(
        "label",
        "word",
        "score",
        "natural_score",
        "asked",
        "people",
        "clean",
        "robust",
        "percentile",
        "robust_percentile",
    ),
    *("kept", "rank", "units", "specificity", "consistency", "path", "slope", "natural_slope", "reason"),
)


@dataclass(frozen=True)
class TrustCards:
    """A card a picture, in the order of the pictures.

    Attributes
    ----------
    cards : tuple of TrustCard
    images : int
        Real images that the pictures were held against.
    settings : mapping
        Of the pictures, and what the cards were made with. Plain JSON.
    """

    cards: tuple[TrustCard, ...]
    images: int
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def words(self) -> tuple[str, ...]:
        """One a card."""
        return tuple(card.word for card in self.cards)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Predictive scores, ``(U,)``."""
        return np.asarray([card.score for card in self.cards], np.float64)

    def __len__(self) -> int:
        return len(self.cards)

    def __getitem__(self, index: int) -> TrustCard:
        return self.cards[index]

    def __iter__(self) -> Iterator[TrustCard]:
        return iter(self.cards)

    def table(self) -> str:
        """A row a card, as CSV."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*COLUMNS, "score low", "score high"])
        for card in self.cards:
            row = [getattr(card, name) for name in COLUMNS]
            shown = [f"{value:.6g}" if isinstance(value, float) else value for value in (*row, *card.score_interval)]
            writer.writerow(shown)
        return stream.getvalue()

    def plot(self, *, cards: int = 8) -> Any:
        """Draw pictures with their word and figures, between the images that excite their unit most and least.

        Parameters
        ----------
        cards : int, default 8
            How many, from the first on.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependency
            When matplotlib is not installed.
        """
        from phosphene.plots import plot_trust_cards

        return plot_trust_cards(self, cards=cards)

    def save(self, path: str | Path) -> Path:
        """Write the table to a ``.csv``, the figure to a ``.png``, ``.svg`` or ``.pdf``, or everything to an ``.html`` page.

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files import save_trust_cards

        return save_trust_cards(self, path)

    def with_answers(self, quiz: Quiz, *paths: str | Path) -> TrustCards:
        """These cards with what people answered: files that the page of `phosphene.quiz` saved, of one person each.

        Parameters
        ----------
        quiz : Quiz
            On the same pictures.
        *paths : str or Path

        Returns
        -------
        TrustCards
            With `people` and its interval over all of them.

        Raises
        ------
        CorruptFile
            For what is no file of answers.
        InvalidParameter
            For answers to another quiz, a quiz on other pictures, and no file at all.
        """
        from phosphene.trust.quizzing import with_answers

        return with_answers(self, quiz, paths)

    def _repr_png_(self) -> bytes:
        from phosphene.files import figure_bytes

        return figure_bytes(self.plot(), "png")

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.words.count(word)} {word}" for word in WORDS if word in self.words)
        lines = [f"TrustCards of {len(self)} pictures against {self.images:,} real images: {counts}"]
        width = max((len(card.label) for card in self.cards), default=0)
        for card in self.cards[:12]:
            score = "-" if math.isnan(card.score) else f"{card.score:.0%}"
            lines.append(f"  {card.label:<{width}}  {card.word:<10}  {score:>4}  {card.reason}")
        if len(self) > 12:
            lines.append(f"  ... and {len(self) - 12} more")
        return "\n".join(lines)
