"""The contact sheet in a browser: it loads nothing, finds, sorts and filters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import phosphene as ph

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("sheet")
    network = ph.load("specimen", backend="torch")
    ph.render_all(network, "stage1", folder, images="photos:60", size=32, steps=4, channels=range(12), progress=False)
    return folder / "index.html"


@pytest.fixture
def opened(sheet: Path) -> Iterator[tuple[Any, list[str]]]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, seen = browser.new_page(), list[str]()
        page.on("request", lambda request: seen.append(request.url))
        page.on("console", lambda message: seen.append(message.text))
        page.goto(sheet.as_uri())
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
