"""`Quiz`: a picture of a unit, two patches, and the question which of them activates the unit more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said
from phosphene.kit.result import Result

__all__ = ["Quiz"]


@dataclass(frozen=True)
class Quiz(Result):
    """A blind quiz on pictures of units (Borowski et al. 2021; Zimmermann et al. 2021, 2024).

    A question shows a person one picture of a unit and two real patches, and asks which of the two activates the unit more. A
    person who answers better than chance has learnt something about the unit from its picture.

    Saved as ``.html``, a quiz is one page that needs no network. It shows no right answer before the end, and lets the person save
    a file that `read_answers` reads.

    Attributes
    ----------
    pictures : (U, H, W, C) float32
        In [0, 1], one per unit.
    labels : tuple of str
        Titles of the U units, shown only after the quiz.
    patches : (P, h, w, C) float32
        In [0, 1]; a patch may occur in many questions.
    questions : (Q, 3) int64
        Indices of the picture, the left patch and the right patch; at least one question.
    answers : (Q,) int64
        0 if the left patch activates the unit more, 1 if the right one does.
    settings : mapping
        Network, seed, and how the patches were chosen. Plain JSON.

    Raises
    ------
    InvalidParameter
        For inconsistent shapes, values outside [0, 1], indices of pictures or patches that do not exist, a question with the same
        patch on both sides, answers other than 0 and 1, or settings that are not plain JSON.
    """

    kind: ClassVar[str] = "quiz"
    endings: ClassVar[tuple[str, ...]] = (".html", ".npz")

    pictures: Annotated[NDArray[np.float32], "_ H W C"]
    labels: tuple[str, ...]
    patches: Annotated[NDArray[np.float32], "P h w C"]
    questions: Annotated[NDArray[np.int64], "_ 3"]
    answers: Annotated[NDArray[np.int64], "_"]
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        pictures, patches = _images(self.pictures, "pictures"), _images(self.patches, "patches")
        if pictures.shape[-1] != patches.shape[-1]:
            raise InvalidParameter(
                "patches",
                allowed=f"{pictures.shape[-1]} channels, as the pictures have",
                received=said(f"{patches.shape[-1]}"),
                fix="Cut the patches from images that the network takes.",
            )
        labels = self.labels
        strings = isinstance(labels, (tuple, list)) and all(isinstance(label, str) for label in labels)
        if not strings or len(labels) != len(pictures):
            raise InvalidParameter(
                "labels",
                allowed=f"{len(pictures)} titles (one per picture)",
                received=labels,
                fix="Use the `labels` of the renders.",
            )
        questions = _indices(self.questions, "questions")
        if questions.ndim != 2 or questions.shape[1] != 3 or not len(questions):
            raise InvalidParameter(
                "questions",
                allowed="shape (Q, 3) with at least one question: indices of picture, left patch and right patch",
                received=said(f"shape {questions.shape}"),
                fix="Give one row per question.",
            )
        _check_questions(questions, len(pictures), len(patches))
        answers = _indices(self.answers, "answers")
        if answers.shape != (len(questions),):
            raise InvalidParameter(
                "answers",
                allowed=f"shape ({len(questions)},), one per question",
                received=said(f"shape {answers.shape}"),
                fix="Give 0 or 1 for each question.",
            )
        if not np.isin(answers, (0, 1)).all():
            first = int(np.flatnonzero(~np.isin(answers, (0, 1)))[0])
            raise InvalidParameter(
                "answers",
                allowed="0 for the left patch or 1 for the right one",
                received=said(f"{answers[first]} for question {first}"),
                fix="Leave out questions whose patches activate the unit equally: they have no answer.",
            )
        kept: dict[str, Any] = {
            "pictures": pictures,
            "labels": tuple(labels),
            "patches": patches,
            "questions": questions,
            "answers": answers,
            "settings": _plain(self.settings),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the questions: 16 hexadecimal digits of the SHA-256 of pictures, patches and questions.

        It differs if a picture, a patch or the order of questions does, so that answers are never read for another quiz. Labels,
        answers and settings do not change it.
        """
        digest = hashlib.sha256(b"phosphene quiz")
        for array, kind in ((self.pictures, "<f4"), (self.patches, "<f4"), (self.questions, "<i8")):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, kind).tobytes())
        return digest.hexdigest()[:16]

    def _text(self, ending: str) -> str:
        from phosphene.trust.quizzes.page import quiz_page

        return quiz_page(self)

    def read_answers(self, path: str | Path) -> NDArray[np.int64]:
        """Read the answers that a person saved from the page of this quiz.

        The file is checked completely, since it may have passed through many hands.

        Parameters
        ----------
        path : str or Path
            A ``.json`` file of at most 10 MB.

        Returns
        -------
        numpy.ndarray (Q,) int64
            0 for the left patch, 1 for the right one, -1 for a question without an answer.

        Raises
        ------
        CorruptFile
            When the file does not hold answers, or is damaged.
        InvalidParameter
            When its answers belong to another quiz.
        """
        from phosphene.trust.quizzes.answers import read_answers

        return read_answers(self, path)

    def __len__(self) -> int:
        return len(self.questions)

    def __repr__(self) -> str:
        parts = {"question": len(self), "unit": len(self.pictures), "patch": len(self.patches)}
        many = {"patch": "patches"}
        counts = [f"{count} {word if count == 1 else many.get(word, f'{word}s')}" for word, count in parts.items()]
        height, width = self.patches.shape[1:3]
        return f"Quiz of {counts[0]} on {counts[1]}, with {counts[2]} of {height} x {width}; {self.fingerprint}"


def _images(value: object, name: str) -> NDArray[np.float32]:
    try:
        images = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidParameter(
            name, allowed="an array of images (N, H, W, C)", received=value, fix="Stack images of one size."
        ) from error
    if images.ndim != 4 or not images.size:
        raise InvalidParameter(
            name,
            allowed="at least one image, as an array (N, H, W, C)",
            received=said(f"shape {images.shape}"),
            fix="Put channels last.",
        )
    lowest, highest = float(images.min()), float(images.max())
    if not (lowest >= 0.0 and highest <= 1.0):  # false for NaN
        raise InvalidParameter(
            name,
            allowed="values in [0, 1]",
            received=said(f"{lowest:.4g} to {highest:.4g}"),
            fix="Divide 8-bit pixels by 255, and remove NaN.",
        )
    return images


def _indices(value: object, name: str) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise InvalidParameter(
            name, allowed="an array of integers", received=said(f"an array of {array.dtype}"), fix="Use int64."
        )
    return array.astype(np.int64, copy=False)


def _check_questions(questions: NDArray[np.int64], pictures: int, patches: int) -> None:
    limits = {"picture": pictures, "left patch": patches, "right patch": patches}
    for column, (what, count) in enumerate(limits.items()):
        wrong = np.flatnonzero((questions[:, column] < 0) | (questions[:, column] >= count))
        if len(wrong):
            raise InvalidParameter(
                "questions",
                allowed=f"a {what} from 0 to {count - 1}",
                received=said(f"{questions[wrong[0], column]} in question {wrong[0]}"),
                fix="Count pictures and patches from 0.",
            )
    same = np.flatnonzero(questions[:, 1] == questions[:, 2])
    if len(same):
        raise InvalidParameter(
            "questions",
            allowed="two different patches per question",
            received=said(f"patch {questions[same[0], 1]} on both sides of question {same[0]}"),
            fix="Leave that question out.",
        )


def _plain(settings: object) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise InvalidParameter(
            "settings", allowed="a mapping of plain JSON", received=settings, fix='For example settings={"seed": 0}.'
        )
    try:
        json.dumps(dict(settings))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameter(
            "settings",
            allowed="plain JSON",
            received=said(str(error)),
            fix="Convert NumPy numbers and arrays with .item() and .tolist().",
        ) from error
    return dict(settings)
