"""Answers to a quiz, as its page saves them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.kit.documents import json_from, read_regular
from phosphene.kit.places import given_path
from phosphene.trust.quizzes.result import Quiz

__all__ = ["read_answers"]

RESULTS = "phosphene quiz answers"
VERSION = 1
MOST_BYTES = 10_000_000
"""Limit of the size of a file of answers; 48 questions take 3,000 bytes."""


def read_answers(quiz: Quiz, path: str | Path) -> NDArray[np.int64]:
    """Read the answers that a person saved; see `Quiz.read_answers`."""
    source = given_path(path)
    given = _read_json(source)
    if not isinstance(given, dict) or given.get("format") != RESULTS:
        raise CorruptFile(
            str(source), f"not answers to a quiz: its format is not {RESULTS!r}. Save them from the page."
        )
    if type(given.get("version")) is not int or given["version"] != VERSION:
        raise CorruptFile(
            str(source), f"answers in version {_shown(given.get('version'))}; this version reads {VERSION}"
        )
    if given.get("quiz") != quiz.fingerprint:
        raise InvalidParameter(
            "path",
            allowed=f"answers to this quiz, {quiz.fingerprint}",
            received=given.get("quiz"),
            fix="Load the quiz whose page saved them: the file names its `fingerprint`.",
        )
    rows = given.get("answers")
    if not isinstance(rows, list):
        raise CorruptFile(str(source), f"its answers are not a list but {_shown(rows)}")
    answers = np.full(len(quiz), -1, np.int64)
    for place, row in enumerate(rows):
        question, answer = _checked(row, len(quiz), f"{source}: answer {place} in the list")
        if answers[question] >= 0:
            raise CorruptFile(str(source), f"question {question} is answered twice")
        answers[question] = answer
    return answers


def _read_json(source: Path) -> Any:
    """Read JSON from a regular file of limited size."""
    try:
        content = read_regular(source, MOST_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptFile(str(source), error.strerror or str(error)) from error
    except ValueError as error:
        raise CorruptFile(
            str(source), f"larger than {MOST_BYTES // 1_000_000} MB, and so not answers to a quiz"
        ) from error
    try:
        return json_from(content, finite=False)  # seconds are checked with the rest of their row
    except ValueError as error:
        raise CorruptFile(
            str(source), f"not JSON, or damaged ({_shown(str(error))}). Save it from the page again."
        ) from error


def _checked(row: object, questions: int, where: str) -> tuple[int, int]:
    """The question and the answer in a row of the file. Booleans are not integers here."""
    if not isinstance(row, dict):
        raise CorruptFile(where, f"expected a question and its answer, got {_shown(row)}")
    question, answer, seconds = row.get("question"), row.get("answer"), row.get("seconds", 0)
    if type(question) is not int or not 0 <= question < questions:
        raise CorruptFile(where, f"expected a question from 0 to {questions - 1}, got {_shown(question)}")
    if type(answer) is not int or answer not in (0, 1):
        raise CorruptFile(where, f"expected the answer 0 or 1, got {_shown(answer)}")
    # An integer may be too large for math.isfinite.
    if type(seconds) not in (int, float) or (type(seconds) is float and not math.isfinite(seconds)) or seconds < 0:
        raise CorruptFile(where, f"expected seconds of at least 0, got {_shown(seconds)}")
    return question, answer


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
