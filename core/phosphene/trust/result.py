"""`TrustCards`: how far each picture can be trusted, in measures, one word and a reason."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.arguments import place
from phosphene.kit.checks import choice, instance, integer
from phosphene.kit.records import Between
from phosphene.kit.result import FIGURES, Result
from phosphene.words import LABEL, aligned, plain_message

if TYPE_CHECKING:
    from phosphene.trust.quizzes.result import Quiz

__all__ = ["WORDS", "TrustCard", "TrustCards"]

WORDS = ("reliable", "doubtful", "failed", "not judged")
"""Verdicts from best to worst; the last if there are too few images or seeds for a verdict."""

NAN = float("nan")
PERCENT, SHARE = Between(0.0, 100.0), Between(0.0, 1.0)


@dataclass(frozen=True)
class TrustCard(Result):
    """How far one picture can be trusted. A measure that could not be taken is NaN, and `reason` says why.

    Attributes
    ----------
    label : str
        Title of the picture.
    word : str
        One of `WORDS`.
    reason : str
        The reason, in plain English.
    picture : (H, W, C) float32
    clean, robust : float
        The objective on the picture, and its mean over held-out transforms.
    percentile, robust_percentile : float
        Share of real images with a smaller value, in percent.
    interval : (float, float)
        95% confidence interval of `percentile`, given the number of images.
    kept : float
        Share of the picture's lead over the mean of real images that is left under transforms: 1 is all.
    rank, units : int
        Rank of the unit among the `units` of its layer on the picture, each standardized by its values on real images; 0 if the
        objective is not a unit or direction of one layer.
    consistency : float
        How much more similar the pictures of this unit are over seeds than those of different units, as d'.
    path : float
        How much of the path through the layers the picture shares with the images that activate the unit most; see
        `phosphene.trust.paths.path_similarity`.
    slope, natural_slope : float
        Slope of the picture's power spectrum, and the median slope of real images.
    score, score_interval : float, (float, float)
        The predictive score and its 95% interval: share of pairs of real patches in which a blind judge, who has only the picture,
        tells which activates the unit more. 0.5 is chance.
    natural_score : float
        The same with the real image that activates the unit most instead of the picture.
    asked : int
        Number of pairs.
    specificity : float
        Share of the pictures of other units of the layer that tell fewer of these pairs apart.
    people, people_interval : float, (float, float)
        The score of people who took the quiz and its 95% interval; see `TrustCards.with_answers`.
    strongest, weakest : (K, h, w, C) float32
        Real images that activate the unit most and least.
    nearest : tuple of (int, float)
        Channels of the layer that are most correlated with this unit over real images, and their correlations.
    """

    kind: ClassVar[str] = "trust card"

    label: str
    word: str
    reason: str
    picture: Annotated[NDArray[np.float32], "H W C"] = field(repr=False)
    clean: float
    robust: float
    percentile: Annotated[float, PERCENT] = NAN
    robust_percentile: Annotated[float, PERCENT] = NAN
    interval: tuple[Annotated[float, PERCENT], Annotated[float, PERCENT]] = (0.0, 100.0)
    kept: float = NAN
    rank: Annotated[int, Between(0)] = 0
    units: Annotated[int, Between(0)] = 0
    consistency: float = NAN
    path: float = NAN
    slope: float = NAN
    natural_slope: float = NAN
    score: Annotated[float, SHARE] = NAN
    score_interval: tuple[Annotated[float, SHARE], Annotated[float, SHARE]] = (0.0, 1.0)
    natural_score: Annotated[float, SHARE] = NAN
    asked: Annotated[int, Between(0)] = 0
    specificity: Annotated[float, SHARE] = NAN
    people: Annotated[float, SHARE] = NAN
    people_interval: tuple[Annotated[float, SHARE], Annotated[float, SHARE]] = (0.0, 1.0)
    strongest: Annotated[NDArray[np.float32], "_ _ _ _"] = field(
        default_factory=lambda: np.zeros((0, 1, 1, 3), np.float32), repr=False
    )
    weakest: Annotated[NDArray[np.float32], "_ _ _ _"] = field(
        default_factory=lambda: np.zeros((0, 1, 1, 3), np.float32), repr=False
    )
    nearest: tuple[tuple[Annotated[int, Between(0)], float], ...] = ()

    def __post_init__(self) -> None:
        if self.word:  # empty until it is judged
            choice("word", self.word, WORDS)

    @property
    def standing(self) -> tuple[int, float, float]:
        """Sort key, the larger the better: by the word, then the score, then the share that is left under transforms."""
        place = {"reliable": 3, "doubtful": 2, "not judged": 1, "failed": 0}[self.word]
        return place, _or_least(self.score), _or_least(self.kept)


def _or_least(value: float) -> float:
    return float("-inf") if math.isnan(value) else value


COLUMNS = (
    *("label", "word", "score", "natural_score", "asked", "people"),
    *("clean", "robust", "percentile", "robust_percentile", "kept", "rank", "units"),
    *("specificity", "consistency", "path", "slope", "natural_slope", "reason"),
)


@dataclass(frozen=True)
class TrustCards(Result):
    """One card per picture, in the order of the pictures.

    Attributes
    ----------
    cards : tuple of TrustCard
    images : int
        Number of real images that the pictures were compared with.
    settings : mapping
        Settings of the pictures and of the cards. Plain JSON.
    """

    kind: ClassVar[str] = "trust cards"
    endings: ClassVar[tuple[str, ...]] = (".npz", ".csv", ".html", *FIGURES)

    cards: tuple[TrustCard, ...]
    images: int
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for card in self.cards:
            choice("word", card.word, WORDS)

    @property
    def words(self) -> tuple[str, ...]:
        """Verdicts, one per card."""
        return tuple(card.word for card in self.cards)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Predictive scores, one per card."""
        return np.asarray([card.score for card in self.cards], np.float64)

    def __len__(self) -> int:
        return len(self.cards)

    def __getitem__(self, index: int) -> TrustCard:
        return self.cards[place("index", index, len(self))]

    def __iter__(self) -> Iterator[TrustCard]:
        return iter(self.cards)

    def table(self) -> str:
        """CSV with one row per card."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*COLUMNS, "score low", "score high"])
        for card in self.cards:
            row = [getattr(card, name) for name in COLUMNS]
            shown = [f"{value:.6g}" if isinstance(value, float) else value for value in (*row, *card.score_interval)]
            writer.writerow(shown)
        return stream.getvalue()

    def plot(self, *, cards: int = 8) -> Any:
        """Draw the pictures with their verdicts, between the images that activate their unit least and most.

        Parameters
        ----------
        cards : int, default 8
            Number of cards, from the first.
        """
        from phosphene.trust.figure import plot_trust_cards

        cards = integer("cards", cards, minimum=1)
        return plot_trust_cards(self, cards=cards)

    def _text(self, ending: str) -> str:
        if ending == ".csv":
            return self.table()
        from phosphene.trust.page import trust_page

        return trust_page(self)

    def with_answers(self, quiz: Quiz, *paths: str | Path) -> TrustCards:
        """Add the answers of people: files that the page of `phosphene.quiz` saved, one per person.

        Parameters
        ----------
        quiz : Quiz
            The quiz on the same pictures.
        *paths : str or Path
            Files of answers, at least one.

        Returns
        -------
        TrustCards
            With `people` and `people_interval` over all files.

        Raises
        ------
        CorruptFile
            When a file does not hold answers.
        InvalidParameter
            For answers to another quiz, a quiz on other pictures, or no file.
        """
        from phosphene.trust.quizzes.call import with_answers
        from phosphene.trust.quizzes.result import Quiz

        instance("quiz", quiz, Quiz, "a quiz", "ph.quiz(net, renders)")
        return with_answers(self, quiz, paths)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.words.count(word)} {word}" for word in WORDS if word in self.words)
        lines = [f"TrustCards of {len(self)} pictures against {self.images:,} real images: {counts}"]
        labels = aligned((card.label for card in self.cards[:12]), LABEL)
        for label, card in zip(labels, self.cards, strict=False):
            score = "-" if math.isnan(card.score) else f"{card.score:.0%}"
            lines.append(f"  {label}  {card.word:<10}  {score:>4}  {card.reason}")
        if len(self) > 12:
            lines.append(f"  ... and {len(self) - 12} more")
        return plain_message("\n".join(lines))
