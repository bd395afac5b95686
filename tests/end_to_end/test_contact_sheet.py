"""The contact sheet in a browser: it loads nothing, finds, sorts and filters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phosphene as ph
from tools import need


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("sheet")
    network = ph.load("specimen", backend="torch")
    ph.render_all(network, "stage1", folder, images="photos:60", size=32, steps=4, channels=range(12), progress=False)
    return folder / "index.html"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet whose pictures have cards; the words of some are told, because so few steps and images give them all one."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("judged")
    network = ph.load("specimen", backend="torch")
    options: dict[str, Any] = {"images": "photos:60", "size": 32, "steps": 4, "channels": range(8), "progress": False}
    ph.render_all(network, "stage1", folder, trust=True, **options)
    kept = next(folder.glob("trust-*.json"))
    rows = json.loads(kept.read_text())
    for row, word in zip(rows, ("reliable", "doubtful", "failed") * 3, strict=False):
        row["word"] = word
    rows[0]["score"] = float("nan")
    kept.write_text(json.dumps(rows))
    ph.render_all(network, "stage1", folder, trust=True, **options)
    return folder / "index.html"


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Any, list[str]]]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = need("chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, seen = browser.new_page(), list[str]()
        page.on("request", lambda request: seen.append(request.url))
        page.on("console", lambda message: seen.append(message.text))
        page.goto(request.getfixturevalue(getattr(request, "param", "sheet")).as_uri())
        yield page, seen
        browser.close()


def channels(page: Any) -> list[int]:
    script = "[...document.querySelectorAll('#units article:not([hidden])')].map(card => Number(card.dataset.channel))"
    return list(page.evaluate(script))


def test_it_finds_sorts_and_filters_without_a_network(opened: tuple[Any, list[str]], sheet: Path) -> None:
    page, seen = opened
    assert channels(page) == list(range(12))
    page.fill("#find", "3, 7-9")
    assert channels(page) == [3, 7, 8, 9] and page.inner_text("#shown") == "4 of 12 shown"
    page.keyboard.press("Escape")
    page.select_option("#sort", "value")
    values = page.evaluate("[...document.querySelectorAll('#units article')].map(card => Number(card.dataset.value))")
    assert values == sorted(values, reverse=True)
    page.select_option("#state", "rising")
    rising = channels(page)
    page.select_option("#state", "converged")
    assert sorted(rising + channels(page)) == list(range(12))
    page.fill("#find", "no number")
    assert channels(page) == []
    assert [url for url in seen if not url.startswith("data:")] == [sheet.as_uri()]


def test_it_is_used_by_keyboard_alone(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    page.keyboard.press("/")
    page.keyboard.type("5")
    assert channels(page) == [5]
    assert all(page.evaluate("[...document.images].map(image => image.alt.length > 5)"))


@pytest.mark.parametrize("opened", ["judged"], indirect=True)
def test_words_are_shown_filtered_and_sorted_by_score(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    words = page.evaluate("[...document.querySelectorAll('#units article')].map(card => card.dataset.word)")
    assert len(words) == 8 and set(words) == {"reliable", "doubtful", "failed"}
    chips = page.locator("#units article .chip").all_inner_texts()
    assert chips == words
    for word in ("reliable", "doubtful", "failed"):
        page.select_option("#state", word)
        assert channels(page) == [channel for channel, own in enumerate(words) if own == word]
    page.select_option("#state", "")
    page.select_option("#sort", "score")
    scores = page.evaluate("[...document.querySelectorAll('#units article')].map(card => Number(card.dataset.score))")
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    assert channels(page)[-1] == 0  # nothing was asked of it


def test_a_sheet_without_cards_offers_no_words(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    offered = page.evaluate("[...document.querySelectorAll('option')].map(option => option.value)")
    assert "value" in offered and not {"score", "reliable", "doubtful", "failed"} & set(offered)
