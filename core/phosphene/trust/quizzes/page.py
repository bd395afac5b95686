"""The page of a blind quiz: one question at a time, answered by keyboard, mouse or touch, with the results at the end."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.pictures import as_picture
from phosphene.trust.quizzes.result import Quiz
from phosphene.words import plain_name

__all__ = ["quiz_page"]

ASKED = "Which of the two photographs below activates the unit more?"


def quiz_page(quiz: Quiz) -> str:
    """Make the page as one self-contained HTML document."""
    return page(
        "Blind quiz: what activates this unit?",
        element(
            "div",
            element("noscript", element("p", "This quiz needs JavaScript. It loads no other file and sends no data.")),
            element("p", id="said", class_="unseen", role="status", aria_live="polite"),
            _start(len(quiz)),
            _question(),
            _last(),
            _end(),
            element("div", *_images(quiz.pictures, "the picture of a unit"), id="pictures", hidden=""),
            element("div", *_images(quiz.patches, "a part of a photograph"), id="patches", hidden=""),
            id="quiz",
            class_="quiz",
            data_fingerprint=quiz.fingerprint,
            data_questions=json.dumps(quiz.questions.tolist(), separators=(",", ":")),
            data_sealed=_sealed(quiz),
        ),
        script=Path(__file__).parent / "quiz.js",
        style=Path(__file__).parent / "quiz.css",
    )


def _sealed(quiz: Quiz) -> str:
    """Answers, labels and settings, masked so that nobody sees them by accident.

    This is not encryption, since the key is in the page: it only hides the answers from somebody who looks at the source.
    """
    settings = {name: plain_name(value) if isinstance(value, str) else value for name, value in quiz.settings.items()}
    words = {"answers": quiz.answers.tolist(), "labels": list(map(plain_name, quiz.labels)), "settings": settings}
    content = json.dumps(words, separators=(",", ":")).encode()
    mask = _keystream(quiz.fingerprint, len(content))
    return base64.b64encode(bytes(one ^ other for one, other in zip(content, mask, strict=True))).decode()


def _keystream(fingerprint: str, count: int) -> bytes:
    """Upper bytes of a linear congruential generator (Knuth); quiz.js has the same generator."""
    state, found = int(fingerprint[:8], 16), bytearray()
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        found.append(state >> 24)
    return bytes(found)


def _images(images: NDArray[np.float32], description: str) -> list[Html]:
    """Embed each image once, however many questions show it."""
    return [picture(as_picture(image), description) for image in images]


def _start(questions: int) -> Html:
    count = f"{questions} question{'s' * (questions != 1)}"
    return element(
        "section",
        element("h1", "What activates this unit?"),
        element(
            "div",
            element(
                "div",
                element(
                    "p",
                    "A unit is one small part of a neural network. Some photographs activate it strongly, others not at all.",
                ),
                element(
                    "p",
                    "Each question shows a picture that was generated to show what one unit responds to, and two real photographs "
                    "or parts of them. Which of the two photographs activates the unit more?",
                ),
                element(
                    "p",
                    "If you cannot tell, guess. The number of correct answers is shown at the end.",
                ),
                class_="telling",
            ),
            _sketch(),
            class_="opening",
        ),
        element(
            "dl",
            *_key("the left one", "←", "1"),
            *_key("the right one", "→", "2"),
            *_key("go back one question", "U", "Backspace"),
            class_="keys",
        ),
        element("p", "Or click or tap the photograph. There is no hurry.", class_="muted"),
        element(
            "div",
            element("button", "Start", id="go", class_="main", type="button"),
            element("button", "Start over", id="anew", type="button", hidden=""),
            element("span", f"{count}. No data is sent.", id="kept", class_="muted"),
            class_="actions",
        ),
        id="start",
        hidden="",
    )


def _sketch() -> Html:
    """Sketch of a question."""
    return element(
        "div",
        element("i", "generated", class_="made"),
        element("i", "photograph"),
        element("i", "photograph"),
        class_="sketch",
        aria_hidden="true",
    )


def _key(meaning: str, *keys: str) -> tuple[Html, Html]:
    return element("dt", *(element("kbd", key) for key in keys)), element("dd", meaning)


def _question() -> Html:
    choices = [
        element(
            "button",
            element("img", alt=f"the {side} photograph", id=f"{side}-patch"),
            element("span", element("kbd", arrow), f" {side}", element("b", " – your answer", class_="yours")),
            id=side,
            class_="choice",
            type="button",
            aria_pressed="false",
        )
        for side, arrow in (("left", "←"), ("right", "→"))
    ]
    return element(
        "section",
        element(
            "div",
            element("b", id="place"),
            element("div", element("i", id="done"), class_="meter", aria_hidden="true"),
            element("button", "Back ", element("kbd", "U"), id="back", type="button", class_="small"),
            class_="progress",
        ),
        element(
            "figure",
            element("img", alt="a picture generated to show what one unit responds to", id="picture"),
            element("figcaption", "This picture was generated to show what one unit responds to."),
        ),
        element("h2", ASKED, id="asked"),
        element("div", *choices, class_="choices"),
        id="question",
        class_="stage",
        tabindex="-1",
        aria_labelledby="asked",
        hidden="",
    )


def _last() -> Html:
    return element(
        "section",
        element("h2", "That was the last question."),
        element("p", "Answers cannot be changed after the results are shown."),
        element(
            "div",
            element("button", "See the results", id="see", class_="main", type="button"),
            element("button", "Back ", element("kbd", "U"), id="again", type="button"),
            class_="actions",
        ),
        id="last",
        hidden="",
    )


def _end() -> Html:
    titles = ("unit", "correct", "accuracy, with 95% interval")
    facts = {"accuracy": "accuracy", "interval": "95% interval (Wilson)", "guessing": "chance"}
    return element(
        "section",
        element("h1", id="verdict", tabindex="-1"),
        element(
            "div",
            *(element("div", element("b", id=name), element("span", words)) for name, words in facts.items()),
            class_="facts",
        ),
        element(
            "div",
            element("button", "Save results ", element("kbd", "S"), id="save", class_="main", type="button"),
            element("button", "Start over", id="over", type="button"),
            element("span", id="saved", class_="muted"),
            class_="actions",
        ),
        element("h2", "Results per unit"),
        element(
            "p",
            "Each bar is the 95% interval of the accuracy, the mark on it the accuracy itself, and the line chance. With few "
            "questions per unit the intervals are wide.",
            class_="muted",
        ),
        element(
            "table",
            element("thead", element("tr", *(element("th", title, scope="col") for title in titles))),
            element("tbody", id="rows"),
            class_="units",
        ),
        element("footer", element("p", id="about")),
        id="end",
        hidden="",
    )
