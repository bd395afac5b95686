"""A quiz checks itself, comes back as it was, keeps an honest person blind, and believes no file of results."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phosphene import errors
from phosphene.trust.quizzes.result import Quiz
from small_quizzes import small_quiz


def changed(array: Any, place: Any, value: float) -> Any:
    copy = np.array(array)
    copy[place] = value
    return copy


REFUSED: dict[str, tuple[Callable[[Quiz], dict[str, Any]], str]] = {
    "pictures of one axis too few": (lambda quiz: {"pictures": quiz.pictures[0]}, r"pictures: .*shape \(12, 12, 3\)"),
    "no picture": (lambda quiz: {"pictures": quiz.pictures[:0], "labels": ()}, "pictures: expected at least one"),
    "pictures above 1": (lambda quiz: {"pictures": quiz.pictures * 255}, r"pictures: expected values in \[0, 1\]"),
    "NaN": (lambda quiz: {"patches": changed(quiz.patches, (3, 0, 0, 0), np.nan)}, r"patches: .*nan"),
    "below 0": (lambda quiz: {"patches": changed(quiz.patches, (3, 0, 0, 0), -0.1)}, r"patches: .*-0\.1"),
    "words": (lambda quiz: {"patches": "none"}, "patches: expected an array of images"),
    "other channels": (
        lambda quiz: {"patches": quiz.patches[..., :1]},
        "patches: expected 3 channels, as the pictures have",
    ),
    "labels of too few": (lambda quiz: {"labels": quiz.labels[:2]}, "labels: expected 3 titles"),
    "labels that are numbers": (lambda quiz: {"labels": (1, 2, 3)}, "labels: expected 3 titles"),
    "labels that are one word": (lambda quiz: {"labels": "abc"}, "labels: expected 3 titles"),
    "no question": (
        lambda quiz: {"questions": quiz.questions[:0], "answers": quiz.answers[:0]},
        "questions: .* at least one question",
    ),
    "pairs": (lambda quiz: {"questions": quiz.questions[:, :2]}, r"questions: .*shape \(12, 2\)"),
    "fractions": (lambda quiz: {"questions": quiz.questions + 0.5}, "questions: .*float64"),
    "no such picture": (
        lambda quiz: {"questions": changed(quiz.questions, (4, 0), 3)},
        "picture from 0 to 2, got 3 in q",
    ),
    "no such patch": (
        lambda quiz: {"questions": changed(quiz.questions, (4, 1), 8)},
        "left patch from 0 to 7, got 8 in q",
    ),
    "negative patch": (
        lambda quiz: {"questions": changed(quiz.questions, (4, 2), -1)},
        "right patch from 0 to 7, got -1",
    ),
    "the same patch": (
        lambda quiz: {"questions": changed(quiz.questions, (4, 1), quiz.questions[4, 2])},
        "on both sides of question 4",
    ),
    "answers of too few": (lambda quiz: {"answers": quiz.answers[1:]}, r"answers: expected shape \(12,\)"),
    "answer 2": (lambda quiz: {"answers": changed(quiz.answers, 5, 2)}, "answers: .*got 2 for question 5"),
    "answers that are true or false": (lambda quiz: {"answers": quiz.answers > 0}, "answers: .*bool"),
    "settings of NumPy": (lambda quiz: {"settings": {"seed": np.int64(3)}}, "settings: expected plain JSON"),
    "no settings": (lambda quiz: {"settings": None}, "settings: expected a mapping"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_quiz_is_refused(name: str) -> None:
    change, message = REFUSED[name]
    quiz = small_quiz()
    with pytest.raises(errors.InvalidParameter, match=message):
        replace(quiz, **change(quiz))


def test_arrays_become_of_the_kinds_that_are_told() -> None:
    quiz = small_quiz()
    again = Quiz(
        quiz.pictures.astype(np.float64),
        list(quiz.labels),
        quiz.patches.tolist(),  # type: ignore[arg-type]
        quiz.questions.astype(np.int32),
        quiz.answers.tolist(),
        quiz.settings,
    )
    kinds = [getattr(again, name).dtype for name in ("pictures", "patches", "questions", "answers")]
    assert kinds == [np.float32, np.float32, np.int64, np.int64] and again.labels == quiz.labels
    assert again.fingerprint == quiz.fingerprint


def test_the_fingerprint_is_of_what_is_asked_and_of_nothing_else() -> None:
    quiz = small_quiz()
    assert re.fullmatch("[0-9a-f]{16}", quiz.fingerprint) and small_quiz().fingerprint == quiz.fingerprint
    assert replace(quiz, answers=1 - quiz.answers, labels=("a", "b", "c"), settings={}).fingerprint == quiz.fingerprint
    others = [
        replace(quiz, pictures=changed(quiz.pictures, (0, 0, 0, 0), 0.123)),
        replace(quiz, patches=changed(quiz.patches, (0, 0, 0, 0), 0.123)),
        replace(quiz, patches=quiz.patches.reshape(8, 7, 9, 3)),
        replace(quiz, questions=quiz.questions[::-1]),
        replace(quiz, questions=quiz.questions[:, [0, 2, 1]]),
    ]
    assert len({other.fingerprint for other in [quiz, *others]}) == 6


def test_a_quiz_describes_itself_in_one_line() -> None:
    quiz = small_quiz()
    assert len(quiz) == 12
    assert repr(quiz) == f"Quiz of 12 questions on 3 units, with 8 patches of 9 x 7; {quiz.fingerprint}"
    assert repr(small_quiz(1, units=1)).startswith("Quiz of 1 question on 1 unit, ")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_is_saved_comes_back(tmp_path: Path, channels: int) -> None:
    quiz = small_quiz(channels=channels)
    again = Quiz.load(quiz.save(tmp_path / "quiz.npz"))
    for name in ("pictures", "patches", "questions", "answers"):
        was, came = getattr(quiz, name), getattr(again, name)
        np.testing.assert_array_equal(came, was)
        assert came.dtype == was.dtype
    assert (again.labels, again.settings, again.fingerprint) == (quiz.labels, quiz.settings, quiz.fingerprint)


def test_damaged_and_foreign_archives_are_refused(tmp_path: Path) -> None:
    path = small_quiz().save(tmp_path / "quiz.npz")
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 40]) + whole[middle + 40 :]
    for content in (b"", b"hello", whole[:middle], flipped):
        path.write_bytes(content)
        with pytest.raises(
            errors.CorruptFile, match="cannot be read as Quiz: it is not an archive of phosphene, or it is damaged"
        ):
            Quiz.load(path)
    with pytest.raises(FileNotFoundError):
        Quiz.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize(
    ("words", "arrays", "message"),
    [
        ({"kind": "renders"}, {}, "it holds another kind of result, 'renders'"),
        ({"format": 3}, {}, "it is in format 3, and this version reads formats up to 2"),
        ({"labels": ["one"]}, {}, "3 titles"),
        ({}, {"answers": np.full(12, 7)}, "got 7"),
        ({}, {"questions": np.asarray([["a"]], object)}, "pickle"),
    ],
)
def test_archives_that_hold_something_else_are_refused(
    tmp_path: Path, words: dict[str, Any], arrays: dict[str, Any], message: str
) -> None:
    quiz, path = small_quiz(), tmp_path / "quiz.npz"
    held = {name: getattr(quiz, name) for name in ("pictures", "patches", "questions", "answers")} | arrays
    said = {"format": 1, "kind": "quiz", "labels": list(quiz.labels), "settings": {}} | words
    np.savez(path, **held, metadata=np.asarray(json.dumps(said)))
    with pytest.raises(errors.CorruptFile, match=message):
        Quiz.load(path)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"\.html or \.npz"):
        small_quiz().save(tmp_path / "quiz.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".html", ".npz"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"quiz{ending}"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UnwritablePath, match="No space left on device"):
        small_quiz().save(path)
    assert path.read_bytes() == b"old" and [item.name for item in tmp_path.iterdir()] == [path.name]


def test_the_page_shows_no_answer_and_holds_each_image_once(tmp_path: Path) -> None:
    quiz = small_quiz(24)
    text = quiz.save(tmp_path / "quiz.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/png', text)) == len(set(re.findall(r'src="(data:[^"]+)"', text))) == 3 + 8
    for answers in (quiz.answers.tolist(), (1 - quiz.answers).tolist()):
        for parting in (", ", ",", ""):
            assert parting.join(map(str, answers)) not in text
    assert "ü" not in text and "unit <b>" not in text and "made up" not in text
    assert "http:" not in text and "https:" not in text and "<link" not in text


def results(quiz: Quiz, answers: list[Any] | None = None, **changes: Any) -> dict[str, Any]:
    rows = [{"question": 0, "answer": 1, "seconds": 1.9}] if answers is None else answers
    return {"format": "phosphene quiz answers", "version": 1, "quiz": quiz.fingerprint, "answers": rows} | changes


def test_answers_are_read_and_what_is_missing_is_minus_one(tmp_path: Path) -> None:
    quiz, path = small_quiz(4), tmp_path / "results.json"
    rows = [{"question": 2, "answer": 0, "seconds": 0}, {"question": 0, "answer": 1}]
    path.write_text(json.dumps(results(quiz, rows)))
    found = quiz.read_answers(path)
    assert found.tolist() == [1, -1, 0, -1] and found.dtype == np.int64
    path.write_text(json.dumps(results(quiz, [])))
    assert quiz.read_answers(path).tolist() == [-1] * 4


def test_results_of_another_quiz_are_refused(tmp_path: Path) -> None:
    quiz, other, path = small_quiz(), small_quiz(seed=1), tmp_path / "results.json"
    path.write_text(json.dumps(results(other)))
    with pytest.raises(
        errors.InvalidParameter, match=f"answers to this quiz, {quiz.fingerprint}, got '{other.fingerprint}'"
    ):
        quiz.read_answers(path)
    for stranger in (None, ["x" * 10_000], "x" * 10_000):
        path.write_text(json.dumps({**results(quiz), "quiz": stranger}))
        with pytest.raises(errors.InvalidParameter) as raised:
            quiz.read_answers(path)
        assert len(str(raised.value)) < 500


GOOD = {"question": 3, "answer": 0, "seconds": 1.5}
HOSTILE_ROWS: dict[str, tuple[Any, str]] = {
    "answer 2": ({**GOOD, "answer": 2}, "answer 0 or 1, got 2"),
    "answer -1": ({**GOOD, "answer": -1}, "answer 0 or 1, got -1"),
    "answer true": ({**GOOD, "answer": True}, "answer 0 or 1, got True"),
    "answer 1.0": ({**GOOD, "answer": 1.0}, r"answer 0 or 1, got 1\.0"),
    "answer '1'": ({**GOOD, "answer": "1"}, "answer 0 or 1, got '1'"),
    "answer of lists": ({**GOOD, "answer": [[1]]}, "answer 0 or 1"),
    "no answer": ({"question": 3}, "answer 0 or 1, got None"),
    "question 12": ({**GOOD, "question": 12}, "question from 0 to 11, got 12"),
    "question -1": ({**GOOD, "question": -1}, "question from 0 to 11, got -1"),
    "question true": ({**GOOD, "question": True}, "question from 0 to 11"),
    "question {}": ({**GOOD, "question": {}}, "question from 0 to 11"),
    "question large": ({**GOOD, "question": 10**300}, "question from 0 to 11"),
    "seconds below 0": ({**GOOD, "seconds": -1}, "seconds of at least 0"),
    "seconds null": ({**GOOD, "seconds": None}, "seconds of at least 0"),
    "seconds NaN": ({**GOOD, "seconds": float("nan")}, "seconds of at least 0"),
    "seconds endless": ({**GOOD, "seconds": float("inf")}, "seconds of at least 0"),
    "no mapping": ([3, 0], "expected a question and its answer"),
    "a long word": ("x" * 100_000, "expected a question and its answer"),
    "a second answer": ({"question": 1, "answer": 0}, "question 1 is answered twice"),
}


@pytest.mark.parametrize("name", HOSTILE_ROWS)
def test_rows_that_no_page_writes_are_refused(tmp_path: Path, name: str) -> None:
    row, message = HOSTILE_ROWS[name]
    quiz, path = small_quiz(), tmp_path / "results.json"
    path.write_text(json.dumps(results(quiz, [{"question": 1, "answer": 0, "seconds": 2}, row])))
    with pytest.raises(errors.CorruptFile, match=message) as raised:
        quiz.read_answers(path)
    assert len(str(raised.value)) < 500


HOSTILE_FILES: dict[str, tuple[Callable[[Quiz], bytes], str]] = {
    "empty": (lambda quiz: b"", "not JSON, or damaged"),
    "half": (lambda quiz: json.dumps(results(quiz)).encode()[:60], "not JSON, or damaged"),
    "not text": (lambda quiz: b"\xff\xfe\x00", "not JSON, or damaged"),
    "too deep": (lambda quiz: b"[" * 200_000, "not JSON, or damaged"),
    "a number of too many digits": (lambda quiz: b"[" + b"9" * 100_000 + b"]", "not JSON, or damaged"),
    "compressed": (lambda quiz: zlib.compress(json.dumps(results(quiz)).encode()), "not JSON, or damaged"),
    "a list": (lambda quiz: b"[]", "its format is not"),
    "another format": (lambda quiz: json.dumps(results(quiz, format="other")).encode(), "its format is not"),
    "version 2": (lambda quiz: json.dumps(results(quiz, version=2)).encode(), "version 2; this version reads 1"),
    "version true": (lambda quiz: json.dumps(results(quiz, version=True)).encode(), "version True"),
    "no version": (lambda quiz: json.dumps(results(quiz, version=None)).encode(), "version None"),
    "answers by name": (
        lambda quiz: json.dumps(results(quiz, answers={"0": 1})).encode(),
        "its answers are not a list",
    ),  # type: ignore[arg-type]
    "huge": (lambda quiz: json.dumps(results(quiz)).encode() + b" " * 10_000_000, "larger than 10 MB"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_files_that_are_no_results_are_refused(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE_FILES[name]
    quiz, path = small_quiz(), tmp_path / "results.json"
    path.write_bytes(content(quiz))
    with pytest.raises(errors.CorruptFile, match=message):
        quiz.read_answers(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    quiz = small_quiz()
    with pytest.raises(FileNotFoundError):
        quiz.read_answers(tmp_path / "nowhere.json")
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    for path in (tmp_path, tmp_path / "pipe.json"):
        with pytest.raises(errors.CorruptFile, match=r"not a file|not a regular file|directory|pipe"):
            quiz.read_answers(path)
