"""`Quiz`: a picture of a unit and two patches; and the question which of the two excites the unit more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import InvalidParameter, said

__all__ = ["Quiz"]


@dataclass(frozen=True)
class Quiz:
    """A blind quiz on pictures of units (Borowski et al. 2021; Zimmermann et al. 2021, 2024).

    A question shows a person one picture of a unit and two real patches, and asks which of the two excites the unit more. Who
    answers better than by guessing has learnt something about the unit from its picture.

    Attributes
    ----------
    pictures : (U, H, W, C) float32
        In [0, 1], one a unit.
    labels : tuple of str
        U titles of the units, shown only after the quiz.
    patches : (P, h, w, C) float32
        In [0, 1]; a patch may be in many questions.
    questions : (Q, 3) int64
        Numbers of the picture, of the patch on the left and of the patch on the right, counted from 0; at least one question.
    answers : (Q,) int64
        0 where the left patch excites the unit more, 1 where the right one does.
    settings : mapping
        Network, seed, and how the patches were chosen. Plain JSON.

    Raises
    ------
    InvalidParameter
        For shapes that do not fit each other, values outside [0, 1], numbers of pictures or patches that are not there, a
        question with one patch on both sides, other answers than 0 and 1, or settings that are no plain JSON.
    """

    pictures: NDArray[np.float32]
    labels: tuple[str, ...]
    patches: NDArray[np.float32]
    questions: NDArray[np.int64]
    answers: NDArray[np.int64]
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        pictures, patches = _images(self.pictures, "pictures"), _images(self.patches, "patches")
        if pictures.shape[-1] != patches.shape[-1]:
            raise InvalidParameter(
                "patches", allowed=f"as many channels as the pictures have, {pictures.shape[-1]}",
                received=said(f"{patches.shape[-1]}"), fix="Cut them from the images that the network takes.",
            )  # fmt: skip
        labels = self.labels
        if (
            not isinstance(labels, (tuple, list))
            or len(labels) != len(pictures)
            or not all(isinstance(label, str) for label in labels)
        ):
            raise InvalidParameter(
                "labels",
                allowed=f"{len(pictures)} titles, one a picture",
                received=labels,
                fix="Renders have `labels`.",
            )
        questions = _numbers(self.questions, "questions", "(Q, 3), of picture, left patch and right patch")
        if questions.ndim != 2 or questions.shape[1] != 3 or not len(questions):
            raise InvalidParameter(
                "questions", allowed="numbers (Q, 3), of picture, left patch and right patch, of at least one question",
                received=said(f"shape {questions.shape}"), fix="Give a row a question.",
            )  # fmt: skip
        _check_questions(questions, len(pictures), len(patches))
        answers = _numbers(self.answers, "answers", f"({len(questions)},)")
        if answers.shape != (len(questions),):
            raise InvalidParameter(
                "answers", allowed=f"shape ({len(questions)},), one a question",
                received=said(f"shape {answers.shape}"), fix="Give 0 or 1 for each question.",
            )  # fmt: skip
        if not np.isin(answers, (0, 1)).all():
            first = int(np.flatnonzero(~np.isin(answers, (0, 1)))[0])
            raise InvalidParameter(
                "answers", allowed="0 for the left patch or 1 for the right one",
                received=said(f"{answers[first]} for question {first}"),
                fix="A question whose patches excite the unit alike has no answer: leave it out.",
            )  # fmt: skip
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
        """What the quiz asks, as 16 hexadecimal digits: of a SHA-256 of pictures, patches and questions.

        Quizzes that differ in a picture, a patch or the order of questions have different ones, so that nobody's answers are
        read for another quiz. Labels, answers and settings have no part in it.
        """
        digest = hashlib.sha256(b"phosphene quiz")
        for array, kind in ((self.pictures, "<f4"), (self.patches, "<f4"), (self.questions, "<i8")):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, kind).tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write the quiz as one offline page to a ``.html``, for a person to answer, or exactly to a ``.npz``.

        The page holds all it needs and loads nothing. It shows no right answer before the end, and lets the person save a file
        that `read_answers` reads.

        Parameters
        ----------
        path : str or Path
            Ends in .html or .npz. Written whole or not at all.

        Returns
        -------
        Path

        Raises
        ------
        InvalidParameter
            For another ending.
        UnwritablePath
            When the place cannot be written.
        """
        from phosphene.files.quiz import save_quiz

        return save_quiz(self, path)

    @staticmethod
    def load(path: str | Path) -> Quiz:
        """Read what `save` wrote to a ``.npz``.

        Parameters
        ----------
        path : str or Path
            A .npz.

        Returns
        -------
        Quiz

        Raises
        ------
        CorruptFile
            When it cannot be read or was not written by `save`.
        """
        from phosphene.files.quiz import load_quiz

        return load_quiz(path)

    def read_answers(self, path: str | Path) -> NDArray[np.int64]:
        """Read the file of results that the page of this quiz lets a person save.

        Nothing in it is trusted: it may have been through many hands.

        Parameters
        ----------
        path : str or Path
            A .json, of at most 10 MB.

        Returns
        -------
        numpy.ndarray (Q,) int64
            0 for the left patch, 1 for the right one, -1 for a question without an answer.

        Raises
        ------
        CorruptFile
            When it is no such file, or a damaged one: what is wrong in it is named.
        InvalidParameter
            When its answers are to another quiz.
        """
        from phosphene.files.quiz import read_answers

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
        raise InvalidParameter(name, allowed="an array of images (N, H, W, C)", received=value) from error
    if images.ndim != 4 or not images.size:
        raise InvalidParameter(
            name, allowed="at least one image, as an array (N, H, W, C)", received=said(f"shape {images.shape}"),
            fix="Put channels last.",
        )  # fmt: skip
    lowest, highest = float(images.min()), float(images.max())
    if not (lowest >= 0.0 and highest <= 1.0):  # NaN is neither
        raise InvalidParameter(
            name, allowed="values in [0, 1]", received=said(f"{lowest:.4g} to {highest:.4g}"),
            fix="Divide pixels of 8 bits by 255, and give no NaN.",
        )  # fmt: skip
    return images


def _numbers(value: object, name: str, shape: str) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise InvalidParameter(
            name, allowed=f"whole numbers {shape}", received=said(f"an array of {array.dtype}"), fix="Use int64."
        )
    return array.astype(np.int64, copy=False)


def _check_questions(questions: NDArray[np.int64], pictures: int, patches: int) -> None:
    limits = {"picture": pictures, "left patch": patches, "right patch": patches}
    for column, (what, count) in enumerate(limits.items()):
        wrong = np.flatnonzero((questions[:, column] < 0) | (questions[:, column] >= count))
        if len(wrong):
            raise InvalidParameter(
                "questions", allowed=f"a {what} from 0 to {count - 1}",
                received=said(f"{questions[wrong[0], column]} in question {wrong[0]}"),
                fix="Count pictures and patches from 0.",
            )  # fmt: skip
    same = np.flatnonzero(questions[:, 1] == questions[:, 2])
    if len(same):
        raise InvalidParameter(
            "questions", allowed="two different patches in a question",
            received=said(f"patch {questions[same[0], 1]} on both sides of question {same[0]}"),
            fix="Leave that question out.",
        )  # fmt: skip


def _plain(settings: object) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise InvalidParameter("settings", allowed="a mapping of plain JSON", received=settings, fix='{"seed": 0}')
    try:
        json.dumps(dict(settings))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParameter(
            "settings", allowed="plain JSON", received=said(str(error)),
            fix="Turn NumPy's numbers and arrays into Python's with .item() and .tolist().",
        ) from error  # fmt: skip
    return dict(settings)
