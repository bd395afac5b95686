"""A quiz as a page or an exact archive, and the answers that come back from its page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phosphene.errors import CorruptFile, InvalidParameter
from phosphene.results import Quiz
from phosphene.results.archives import load_archive, save_archive
from phosphene.writing import check_writable, write_whole

__all__ = ["load_quiz", "read_answers", "save_quiz"]

RESULTS = "phosphene quiz answers"
VERSION = 1
MOST_BYTES = 10_000_000
"""Of a file of results; one of 48 questions has 3,000."""

_ARRAYS = ("pictures", "patches", "questions", "answers")


def save_quiz(quiz: Quiz, path: str | Path) -> Path:
    """See `Quiz.save`."""
    if Path(path).suffix not in (".html", ".npz"):
        raise InvalidParameter(
            "path", allowed="a name that ends in .html or .npz", received=str(path),
            fix="A person answers the .html; `Quiz.load` reads the .npz.",
        )  # fmt: skip
    target = check_writable(path)
    if target.suffix == ".html":
        from phosphene.pages.quiz import quiz_page

        write_whole(target, quiz_page(quiz).encode())
        return target
    words = {"labels": list(quiz.labels), "settings": dict(quiz.settings)}
    return save_archive(target, "quiz", {name: getattr(quiz, name) for name in _ARRAYS}, words)


def load_quiz(path: str | Path) -> Quiz:
    """See `Quiz.load`."""

    def build(words: dict[str, Any], arrays: dict[str, Any]) -> Quiz:
        return Quiz(labels=tuple(words["labels"]), settings=words["settings"], **arrays)

    return load_archive(path, "quiz", _ARRAYS, build)


def read_answers(quiz: Quiz, path: str | Path) -> NDArray[np.int64]:
    """See `Quiz.read_answers`."""
    source = Path(path)
    given = _read_json(source)
    if not isinstance(given, dict) or given.get("format") != RESULTS:
        raise CorruptFile(str(source), f"no results of a quiz: its format is not {RESULTS!r}. Save them from the page.")
    if type(given.get("version")) is not int or given["version"] != VERSION:
        raise CorruptFile(str(source), f"results of version {_shown(given.get('version'))}; this one reads {VERSION}")
    if given.get("quiz") != quiz.fingerprint:
        raise InvalidParameter(
            "path", allowed=f"answers to this quiz, {quiz.fingerprint}", received=given.get("quiz"),
            fix="Load the quiz whose page they were saved from: its `fingerprint` is in the file.",
        )  # fmt: skip
    rows = given.get("answers")
    if not isinstance(rows, list):
        raise CorruptFile(str(source), f"its answers are no list but {_shown(rows)}")
    answers = np.full(len(quiz), -1, np.int64)
    for place, row in enumerate(rows):
        question, answer = _checked(row, len(quiz), f"{source}: answer {place} in the list")
        if answers[question] >= 0:
            raise CorruptFile(str(source), f"question {question} is answered twice")
        answers[question] = answer
    return answers


def _read_json(source: Path) -> Any:
    """What stands in a file of JSON that is not too large to be one of ours."""
    if not source.is_file():  # a pipe or a device would never end
        if not source.exists():
            raise FileNotFoundError(f"no such file: {source}")
        raise CorruptFile(str(source), "not a file")
    try:
        with source.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise CorruptFile(str(source), error.strerror or str(error)) from error
    if len(content) > MOST_BYTES:
        raise CorruptFile(str(source), f"more than {MOST_BYTES // 1_000_000} MB, which no results of a quiz are")
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(
            str(source), f"no JSON, or damaged ({_shown(str(error))}). Save it from the page anew."
        ) from error


def _checked(row: object, questions: int, where: str) -> tuple[int, int]:
    """Question and answer of a row of the file. Booleans are integers to Python, and none here."""
    if not isinstance(row, dict):
        raise CorruptFile(where, f"expected a question and its answer, got {_shown(row)}")
    question, answer, seconds = row.get("question"), row.get("answer"), row.get("seconds", 0)
    if type(question) is not int or not 0 <= question < questions:
        raise CorruptFile(where, f"expected a question from 0 to {questions - 1}, got {_shown(question)}")
    if type(answer) is not int or answer not in (0, 1):
        raise CorruptFile(where, f"expected the answer 0 or 1, got {_shown(answer)}")
    # An integer may be too large for isfinite, and is finite.
    if type(seconds) not in (int, float) or (type(seconds) is float and not math.isfinite(seconds)) or seconds < 0:
        raise CorruptFile(where, f"expected seconds of at least 0, got {_shown(seconds)}")
    return question, answer


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
