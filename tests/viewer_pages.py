"""Pages of atlases in a browser, and what can be asked of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SHOTS = os.environ.get("PHOSPHENE_SCREENSHOTS")
Opener = Callable[..., "Opened"]


@dataclass
class Opened:
    """A page of an atlas, and what it should not have done."""

    page: Any
    path: Path
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def state(self) -> Any:
        return self.page.evaluate("phosphene_atlas.state()")

    def level(self) -> int:
        return int(self.state()["panels"][0]["level"])

    def settle(self) -> Opened:
        """Waits until nothing moves; polls, since the page's policy forbids what a waiting function would need."""
        for _ in range(200):
            self.page.wait_for_timeout(30)
            still = self.page.evaluate("typeof phosphene_atlas == 'object' && phosphene_atlas.settled()")
            if still and self.page.is_hidden("#wait"):
                return self
        raise AssertionError("the page does not come to rest")

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(100):
            if true():
                return
            self.page.wait_for_timeout(30)
        raise AssertionError("it did not happen")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def spot(self, row: int, column: int, size: int, panel: int = 0) -> tuple[float, float]:
        """The middle of a cell on the screen."""
        box = self.page.locator(".map").nth(panel).bounding_box()
        camera = self.state()["camera"]
        place = [(number + 0.5) / size for number in (column, row)]
        return (
            box["x"] + (place[0] - camera["x"]) * camera["scale"] + box["width"] / 2,
            box["y"] + (place[1] - camera["y"]) * camera["scale"] + box["height"] / 2,
        )

    def spoken(self, pattern: str) -> None:
        self.until(lambda: bool(re.search(pattern, self.page.inner_text("#live"))))

    def hash(self, pattern: str) -> str:
        self.until(lambda: bool(re.search(pattern, str(self.page.evaluate("location.hash")))))
        return str(self.page.evaluate("location.hash"))

    def shot(self, name: str) -> None:
        if SHOTS:
            self.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def opening(browser: Any) -> Iterator[Opener]:
    """Opens pages, for a fixture; at the end none of them has asked for anything or complained."""
    pages: list[Opened] = []

    def make(path: Path, hash_: str = "", *, settle: bool = True, **context: Any) -> Opened:
        page = browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | context).new_page()
        found = Opened(page, path)
        page.on("request", lambda request: found.asked.append(request.url))
        page.on("console", lambda message: found.told.append(message.text))
        page.on("pageerror", lambda error: found.told.append(str(error)))
        pages.append(found)
        page.goto(path.as_uri() + hash_)
        return found.settle() if settle else found

    yield make
    for found in pages:
        found.page.context.close()
        assert found.told == []
        own = f"file://{found.path.parent}/"
        assert [url for url in found.asked if not unquote(url).startswith((own, "data:", "blob:"))] == []
