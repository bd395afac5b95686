"""The page of a quiz in a browser: by keyboard alone, from a file, with no network, and its results come back exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phosphene.trust.quizzes.result import Quiz
from small_quizzes import small_quiz

STORED = "localStorage.getItem(localStorage.key(0))"


@dataclass
class Opened:
    """A page of a quiz, and what it should not have done."""

    page: Any
    quiz: Quiz
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def answer(self, answers: list[int]) -> None:
        self.press(*(("ArrowLeft", "ArrowRight")[answer] for answer in answers))

    def place(self) -> str:
        return str(self.page.inner_text("#place"))

    def shown(self) -> str:
        found = self.page.evaluate("[...document.querySelectorAll('section:not([hidden])')].map(part => part.id)")
        assert len(found) == 1
        return str(found[0])

    def saved(self, folder: Path) -> Path:
        with self.page.expect_download() as download:
            self.press("s")
        path = Path(folder / download.value.suggested_filename)
        download.value.save_as(path)
        return path


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    quiz = small_quiz(13)
    found = Opened(browser.new_page(), quiz)
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("console", lambda message: found.told.append(message.text))
    found.page.on("pageerror", lambda error: found.told.append(str(error)))
    found.page.goto(quiz.save(tmp_path / "quiz.html").as_uri())
    yield found
    found.page.context.close()
    assert found.told == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def interval(correct: int, asked: int) -> tuple[float, float]:
    """Wilson's, from another implementation."""
    scipy = pytest.importorskip("scipy.stats")
    found = scipy.binomtest(correct, asked).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


def percent(share: float) -> str:
    return f"{share:.0%}"


def test_it_is_answered_by_keyboard_alone_and_what_was_pressed_comes_back(opened: Opened, tmp_path: Path) -> None:
    quiz, random = opened.quiz, np.random.default_rng(3)
    given = np.where(random.random(len(quiz)) < 0.7, quiz.answers, 1 - quiz.answers)
    assert opened.shown() == "start" and opened.page.evaluate("document.activeElement.id") == "go"
    opened.press("Enter")
    assert opened.place() == "1 of 13"

    opened.answer(given[:4].tolist())
    opened.answer([1 - int(given[4])])  # wrongly pressed, then taken back
    opened.press("u")
    assert opened.place() == "5 of 13"
    mistaken = ("left", "right")[1 - int(given[4])]
    assert opened.page.get_attribute(f"#{mistaken}", "aria-pressed") == "true"
    opened.press("12"[given[4]])
    assert opened.place() == "6 of 13"
    opened.press("Backspace", "Backspace")
    assert opened.place() == "4 of 13"
    opened.answer([int(given[3])])  # and on with the first question that has no answer
    assert opened.place() == "6 of 13"
    opened.answer(given[5:].tolist())
    assert opened.shown() == "last"
    opened.press("Enter")
    assert opened.shown() == "end"

    path = opened.saved(tmp_path)
    np.testing.assert_array_equal(quiz.read_answers(path), given)
    rows = json.loads(path.read_text())["answers"]
    assert [row["question"] for row in rows] == list(range(13)) and all(row["seconds"] >= 0 for row in rows)
    assert path.name == f"quiz-answers-{quiz.fingerprint}.json"

    right = quiz.read_answers(path) == quiz.answers
    low, high = interval(int(right.sum()), 13)
    assert opened.page.inner_text("#accuracy") == percent(right.mean())
    assert opened.page.inner_text("#interval") == f"{percent(low)} to {percent(high)}"
    assert opened.page.inner_text("#verdict").startswith(f"{right.sum()} of 13 correct")


def test_the_table_counts_unit_by_unit(opened: Opened) -> None:
    quiz, page = opened.quiz, opened.page
    given = quiz.answers.copy()
    given[quiz.questions[:, 0] == 1] ^= 1  # the second unit always wrong
    given[0] ^= 1
    opened.press("Enter")
    opened.answer(given.tolist())
    opened.press("Enter")
    rows = page.locator("#rows tr").all_inner_texts()
    right = given == quiz.answers
    for unit, text in enumerate(rows):
        mine = right[quiz.questions[:, 0] == unit]
        low, high = interval(int(mine.sum()), len(mine))
        assert quiz.labels[unit] in text  # as text, whatever signs are in it
        assert f"{mine.sum()} / {len(mine)}" in text
        assert f"{percent(mine.mean())} ({percent(low)} to {percent(high)})" in text
    assert len(rows) == 3 and page.locator("#rows img").count() == 3 and page.locator("#rows th b").count() == 0


def test_each_question_shows_its_own_picture_and_patches(opened: Opened) -> None:
    from phosphene.kit.html import picture

    quiz, sources = opened.quiz, []
    opened.press("Enter")
    for number in range(len(quiz)):
        unit, left, right = quiz.questions[number]
        for name, image in (
            ("picture", quiz.pictures[unit]),
            ("left-patch", quiz.patches[left]),
            ("right-patch", quiz.patches[right]),
        ):
            source = opened.page.get_attribute(f"#{name}", "src")
            assert f'src="{source}"' in picture(image, "")
            sources.append(source)
        opened.answer([0])
    assert len(set(sources)) > 8


def test_nothing_is_said_of_right_and_wrong_before_the_end(opened: Opened) -> None:
    """Who answers rightly and who answers wrongly sees and hears the same."""
    seen = []
    for flip in (0, 1):
        opened.page.evaluate("localStorage.clear()")
        opened.page.reload()
        opened.press("Enter")
        told = []
        for number, answer in enumerate(opened.quiz.answers.tolist()):
            text = opened.page.inner_text("#question") + opened.page.inner_text("#said")
            told.append(re.sub("Chosen: the (left|right) photograph", "", text))
            assert opened.page.evaluate("!document.querySelector('#verdict').textContent")
            opened.answer([answer ^ flip])
            assert number == 12 or f"Question {number + 2} of 13" in opened.page.inner_text("#said")
        told.append(opened.page.inner_text("#last"))
        seen.append(told)
    assert seen[0] == seen[1]


def test_a_reload_goes_on_where_one_was(opened: Opened, tmp_path: Path) -> None:
    given = opened.quiz.answers.tolist()
    opened.press("Enter")
    opened.answer(given[:5])
    # What a page keeps reaches the browser's other processes a moment later, and a reload may begin in one of them.
    opened.page.wait_for_timeout(500)
    opened.page.reload()
    assert "5 of 13 answered" in opened.page.inner_text("#kept")
    opened.press("Enter")
    assert opened.place() == "6 of 13"
    opened.answer(given[5:])
    opened.page.reload()
    opened.press("Enter")
    assert opened.shown() == "last"
    opened.press("u")
    assert opened.place() == "13 of 13"
    opened.answer(given[-1:])
    opened.press("Enter")
    opened.page.reload()  # once the results were seen, they stay
    assert opened.shown() == "end" and opened.page.inner_text("#accuracy") == "100%"
    opened.press("u", "ArrowLeft", "1")
    assert opened.quiz.read_answers(opened.saved(tmp_path)).tolist() == given
    opened.press("Tab", "Tab", "Enter")
    assert opened.place() == "1 of 13" and opened.page.get_attribute("#left", "aria-pressed") == "false"


@pytest.mark.parametrize(
    "kept",
    [
        "{",
        "null",
        "7",
        '{"answers": [0, 1]}',
        '{"answers": "x", "seconds": "x"}',
        json.dumps({"answers": [5] * 13, "seconds": [0] * 13}),
        json.dumps({"answers": [0] * 13, "seconds": [None] * 13}),
        json.dumps({"answers": [0] * 14, "seconds": [0] * 14, "seen": True}),
    ],
)
def test_what_the_browser_kept_is_not_trusted(opened: Opened, kept: str) -> None:
    opened.press("Enter")
    opened.answer([1])
    opened.page.evaluate(f"localStorage.setItem(localStorage.key(0), {json.dumps(kept)})")
    opened.page.reload()
    assert opened.shown() == "start"
    opened.press("Enter")
    assert opened.place() == "1 of 13"


def test_a_browser_that_keeps_nothing_is_no_hindrance(opened: Opened, tmp_path: Path) -> None:
    refusal = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    opened.page.add_init_script(refusal)
    opened.page.reload()
    opened.press("Enter")
    opened.answer([1, 0])
    opened.page.reload()
    opened.press("Enter")
    assert opened.place() == "1 of 13"
    opened.answer([1] * 13)
    opened.press("Enter")
    assert opened.quiz.read_answers(opened.saved(tmp_path)).tolist() == [1] * 13


def test_buttons_do_what_keys_do(opened: Opened) -> None:
    page = opened.page
    page.click("#go")
    assert page.is_disabled("#back")
    page.click("#right")
    assert opened.place() == "2 of 13" and page.evaluate(f"JSON.parse({STORED}).answers[0]") == 1
    page.dblclick("#left")  # its second click belongs to no question
    assert opened.place() == "3 of 13"
    page.click("#back")
    assert opened.place() == "2 of 13"
    opened.press("Tab", "Tab", "Tab")
    assert page.evaluate("document.activeElement.id") == "right"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.press(" ")
    assert opened.place() == "3 of 13" and page.evaluate(f"JSON.parse({STORED}).answers[1]") == 1


def test_a_key_that_is_held_down_answers_once(opened: Opened) -> None:
    opened.press("Enter")
    for _ in range(5):
        opened.page.keyboard.down("ArrowRight")  # all but the first are repeats
    opened.page.keyboard.up("ArrowRight")
    assert opened.place() == "2 of 13"
    opened.press("Control+1", "Alt+2", "x", "s")
    assert opened.place() == "2 of 13" and opened.shown() == "question"


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_overflows_and_all_images_have_words(opened: Opened, width: int) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 800})
    opened.press("Enter")
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert all(page.evaluate("[...document.images].map(image => image.alt.length > 5)"))
        opened.answer([0] * 13)
        opened.press("Enter")
