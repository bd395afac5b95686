"""What the tests of offline pages share: a browser, and a page of an atlas to open in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import need
from viewer_atlases import small_atlas
from viewer_pages import Opener, opening


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = need("chromium")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two layers, in a folder whose name must be quoted in an address."""
    folder = tmp_path_factory.mktemp("an atlas #1 ü%")
    return small_atlas(folder / "atlas").view(folder / "page.html")


@pytest.fixture
def opener(browser: Any) -> Iterator[Opener]:
    yield from opening(browser)
