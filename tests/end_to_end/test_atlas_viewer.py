"""The page of an atlas in a browser: from a file, with no network, by mouse, keys and touch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from viewer_pages import Opener

pytest.importorskip("zarr")
pytest.importorskip("sklearn")


def test_walking_by_mouse_through_all_levels(opener: Opener, plain: Path) -> None:
    opened = opener(plain)
    page = opened.page
    assert len(opened.asked) == 1
    page.get_by_role("button", name="Level of 16 by 16 cells").click()
    assert opened.settle().level() == 16
    assert opened.state()["panels"][0]["drawn"] > 100 and opened.state()["panels"][0]["missing"] == 0
    before = opened.state()["camera"]
    page.mouse.move(500, 400)
    page.mouse.down()
    page.mouse.move(560, 430, steps=4)
    page.mouse.up()
    after = opened.settle().state()
    assert after["camera"]["x"] * before["scale"] == pytest.approx(before["x"] * before["scale"] - 60, abs=1)
    assert after["pin"] is None
    page.get_by_role("button", name="Level of 4 by 4 cells").click()
    seen = [opened.settle().level()]
    page.mouse.move(500, 400)
    for turn in [120] * 8 + [-120] * 14:
        page.mouse.wheel(0, turn)
        seen.append(opened.settle().level())
    assert set(seen) == {4, 8, 16} and seen[0] == 4 and seen[-1] == 16
    zoom = opened.state()["zoom"]
    page.mouse.dblclick(600, 400)
    assert opened.settle().state()["zoom"] >= zoom
    page.click("#all")
    assert opened.settle().state()["zoom"] == pytest.approx(0, abs=1e-6)
    assert page.is_hidden("#mini")
    page.click("#closer")
    opened.settle()
    page.mouse.click(*[page.locator("#mini").bounding_box()[key] + 30 for key in ("x", "y")])
    assert opened.settle().state()["camera"]["x"] < 0.3
    opened.shot("mouse")


def test_reading_pinning_comparing_and_taking_away(opener: Opener, plain: Path, tmp_path: Path) -> None:
    opened = opener(plain, permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    x, y = opened.spot(8, 8, 16)
    page.mouse.move(x, y)
    opened.until(lambda: "row 9, column 9" in page.inner_text("#details"))
    text = page.inner_text("#details")
    assert "Icon sharp" in text and "Attribution to classes" in text and page.locator(".bars li").count() == 3
    assert page.locator(".near").count() == 6 and page.locator("#details .big").get_attribute("aria-label")
    page.mouse.click(x, y)
    opened.hash("cell=16.8.8.late")
    page.mouse.move(*opened.spot(5, 5, 16))
    page.wait_for_timeout(150)
    assert "row 9, column 9" in page.inner_text("#details")  # it stays while others are pointed at
    page.get_by_role("button", name="Compare").click()
    page.mouse.click(*opened.spot(6, 9, 16))
    opened.hash("with=16.6.9.late")
    assert page.locator(".side").count() == 2 and "in both" in page.inner_text("#details")
    assert page.locator(".pairs li").count() == 3
    opened.shot("compare")
    page.get_by_role("button", name="Copy both as JSON").click()
    opened.until(lambda: page.is_visible("#note"))
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [(cell["level"], cell["row"], cell["column"]) for cell in copied["cells"]] == [(16, 8, 8), (16, 6, 9)]
    assert copied["cells"][0]["images"]["count"] == len(copied["cells"][0]["images"]["numbers"])
    page.get_by_role("button", name="Stop comparing").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").click()
    assert download.value.suggested_filename == "late-16-8-8.png"
    download.value.save_as(tmp_path / "cell.png")
    from PIL import Image

    assert Image.open(tmp_path / "cell.png").size == (640, 772)
    page.locator(".near").first.click()
    opened.settle()
    pin = opened.state()["pin"]
    assert pin is not None and "row 9, column 9" not in page.inner_text("#details")
    opened.press("Escape")
    assert opened.state()["pin"] is None


def test_keyboard_alone(opener: Opener, plain: Path) -> None:
    opened = opener(plain, reduced_motion="reduce")
    page = opened.page
    for _ in range(30):
        opened.press("Tab")
        if page.evaluate("document.activeElement.className") == "map":
            break
    assert page.evaluate("document.activeElement.getAttribute('role')") == "application"
    opened.press("ArrowRight")
    opened.spoken(r"row \d+, column \d+ of 16, .*(label [^,]|no reliable label).*icon sharp, place")
    first = opened.state()["focus"]
    opened.press("ArrowRight", "ArrowDown")
    assert opened.state()["focus"]["cell"] != first["cell"]
    opened.press("Enter")
    opened.spoken("^Pinned: ")
    opened.press("c", "ArrowLeft", "Enter")
    opened.spoken("^Compared with: ")
    assert opened.state()["comparing"] and opened.state()["other"]
    opened.press("Escape", "Escape")
    assert opened.state()["pin"] is None and not opened.state()["comparing"]
    opened.press("-", "-", "-")
    opened.settle()
    assert opened.level() == 8 and opened.state()["focus"]["depth"] == 1
    opened.press("0", "?")
    assert page.is_visible("#help")
    opened.press("Escape")
    opened.press("/")
    page.keyboard.type("su")
    opened.spoken("1? ?result")
    opened.press("ArrowDown", "Enter")
    opened.hash("only=class.sun")
    opened.spoken("cells are shown")
    opened.press("Escape", "Escape")
    opened.until(lambda: page.is_hidden("#filter"))
    for _ in range(80):
        opened.press("ArrowLeft")
    opened.spoken("Edge of the map")


def test_search_filter_heat_map_and_overlays(opener: Opener, plain: Path) -> None:
    opened = opener(plain)
    page = opened.page
    page.click("#search")
    assert page.locator("#found li").count() >= 3
    page.keyboard.type("nothing of the kind")
    assert "No matches" in page.inner_text("#found")
    page.fill("#search", "sto")
    page.locator("#found li").first.click()
    opened.settle()
    assert re.search(r"Only stone \d+ cells?", page.inner_text("#filter"))
    page.get_by_role("button", name="Heat map").click()
    assert opened.hash("show=class.stone") and "Evidence for stone" in page.inner_text("#legend")
    opened.shot("heat")
    page.get_by_role("button", name="Show all cells").click()
    assert page.is_hidden("#filter") and page.is_hidden("#legend")
    for overlay in ("density", "fidelity", "distortion", "class.1"):
        page.select_option("#overlay", overlay)
        opened.settle()
        assert page.is_visible("#legend")
    page.select_option("#overlay", "")
    opened.settle()
    assert page.is_hidden("#legend")


def test_two_layers_share_a_camera_and_show_the_same_images(opener: Opener, plain: Path) -> None:
    opened = opener(plain)
    page = opened.page
    page.get_by_role("button", name="Side by side").click()
    opened.settle()
    assert page.locator(".map").count() == 2 and [each["layer"] for each in opened.state()["panels"]] == [
        "early",
        "late",
    ]
    size = opened.level()
    page.mouse.move(*opened.spot(size // 2, size // 2, size))
    opened.until(lambda: bool(opened.state()["hover"]))
    same = opened.state()["panels"][1]["same"]
    assert same and sum(count for _, count in same) >= 1
    opened.shot("two")
    page.mouse.wheel(0, -300)
    opened.settle()
    assert len({each["level"] for each in opened.state()["panels"]}) == 1
    assert "layer=early&layer=late" in opened.hash("layer=early&layer=late")
    page.get_by_role("button", name="Layer late").click()
    opened.settle()
    assert page.locator(".map").count() == 1


def test_an_address_shows_the_same_again(opener: Opener, plain: Path) -> None:
    opened = opener(plain)
    x, y = opened.spot(4, 10, 16)
    opened.page.mouse.move(x, y)
    opened.page.mouse.wheel(0, -300)
    opened.settle()
    opened.page.mouse.click(*opened.spot(5, 10, 16))
    opened.page.select_option("#overlay", "density")
    opened.page.click("#theme")
    address = opened.hash("cell=.*show=density.*theme=")
    again = opener(plain, address)
    for key in ("x", "y"):
        assert again.state()["camera"][key] == pytest.approx(opened.state()["camera"][key], abs=1e-3)
    assert again.state()["zoom"] == pytest.approx(opened.state()["zoom"], abs=1e-3)
    assert again.state()["pin"] == opened.state()["pin"] and again.page.input_value("#overlay") == "density"
    theme = "document.documentElement.dataset.theme"
    assert again.page.evaluate(theme) == opened.page.evaluate(theme)
    again.page.evaluate("location.hash = '#layer=early&x=0.2&y=0.3&zoom=1'")  # and when it is changed by hand
    again.until(
        lambda: again.state()["panels"][0]["layer"] == "early" and abs(again.state()["camera"]["x"] - 0.2) < 1e-6
    )


def test_touch(opener: Opener, plain: Path) -> None:
    opened = opener(plain, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    size = opened.level()
    page.touchscreen.tap(*opened.spot(size // 2, size // 2, size))
    opened.until(lambda: opened.state()["pin"] is not None)
    assert page.locator(".bars li").count() == 3
    session = page.context.new_cdp_session(page)
    box = page.locator(".map").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *offsets: int) -> None:
        points = [{"x": middle[0] + offset, "y": middle[1], "id": number} for number, offset in enumerate(offsets)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    zoom = opened.state()["zoom"]
    touch("touchStart", -20, 20)
    for spread in range(30, 110, 10):
        touch("touchMove", -spread, spread)
    touch("touchEnd")
    opened.settle()
    assert opened.state()["zoom"] == pytest.approx(zoom + 2.3, abs=0.4) and opened.level() > size
    assert all(page.evaluate("[...document.querySelectorAll('.zoom button')].map(b => b.offsetHeight >= 30)"))
    opened.shot("phone")
