"""The page of an atlas in a browser where little is there, much is missing, or names are hostile."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from phosphene.atlas.viewer import view
from viewer_atlases import small_atlas, with_patches
from viewer_pages import Opener

HOSTILE = (
    "<img src=x onerror=\"document.title='hit'\">",
    "</script><script>document.title='hit'</script>",
    "שלום‮txt.exe 🐌",
    "x" * 500,
    "'\"&amp;\n<b>",
)

pytest.importorskip("zarr")
pytest.importorskip("sklearn")


def test_names_are_text_whatever_they_say(opener: Opener, tmp_path: Path) -> None:
    layer = "<b onmouseover=alert(1)>é\"'"
    atlas = small_atlas(tmp_path / "atlas", classes=HOSTILE, layers=(layer,), levels=(4, 8))
    path = atlas.view(tmp_path / "page.html", title="<i>A &amp; B</i>‮")
    opened = opener(path)
    page = opened.page
    assert page.inner_text("#title") == "<i>A &amp; B</i>⟨U+202E⟩"
    page.mouse.click(*opened.spot(4, 4, 8))
    opened.until(lambda: page.locator(".bars li").count() == 5)
    bars = " ".join(page.locator(".bars .class").all_text_contents())
    assert "<img src=x" in bars and "</script>" in bars and "⟨U+202E⟩txt.exe 🐌" in bars
    assert "x" * 119 + "…" in bars and "x" * 120 not in bars
    page.fill("#search", "<img")
    assert "onerror" in page.inner_text("#found")
    page.locator("#found li").first.click()
    opened.settle()
    assert "<img src=x onerror" in page.inner_text("#filter")
    opened.shot("hostile")
    again = opener(path, opened.hash("only=class"))
    assert "<img src=x onerror" in again.page.inner_text("#filter")
    wishes = "".join(f"&{key}=" + quote(HOSTILE[0]) for key in ("layer", "only", "show", "cell", "theme", "x"))
    wished = opener(path, f"#{wishes}&only=class.{quote(HOSTILE[0] + '‮?')}&cell=4.0.0.{quote(HOSTILE[1])}")
    assert "The address names" in wished.page.inner_text("#note")
    for each in (opened, again, wished):
        assert each.page.title() == "<i>A &amp; B</i>⟨U+202E⟩"
        assert each.page.evaluate("document.querySelectorAll('img, b[onmouseover], #title i, iframe').length") == 0
        assert each.page.evaluate("document.documentElement.scrollWidth") == 1200


@pytest.mark.parametrize("part", [0.15, 0.75, 0.97])
def test_a_page_that_was_cut_off_says_so(opener: Opener, plain: Path, tmp_path: Path, part: float) -> None:
    text = plain.read_text()
    cut = tmp_path / "cut.html"
    start = text.index('type="application/octet-stream"')
    at = int(start * 0.5) if part < 0.2 else start + int((len(text) - start) * part)
    cut.write_text(text[:at])
    opened = opener(cut, settle=False)
    opened.until(lambda: "ncomplete" in opened.page.inner_text("body"))
    assert opened.page.is_visible("#wait") or opened.page.is_visible("#cut")


@pytest.mark.parametrize(
    "kind",
    [
        {"labels": False},
        {"icons": False},
        {"points": 40, "levels": (1,), "layers": ("a",)},
        {"classes": ("only",)},
        {"points": 40, "levels": (1,), "layers": ("a",), "labels": False, "icons": False},
    ],
    ids=["no labels", "no icons", "one cell", "one class", "nothing but one cell"],
)
def test_atlases_of_little(opener: Opener, tmp_path: Path, kind: dict[str, Any]) -> None:
    path = small_atlas(
        tmp_path / "atlas", points=kind.pop("points", 300), levels=kind.pop("levels", (4, 8)), **kind
    ).view(tmp_path / "page.html")
    opened = opener(path)
    page = opened.page
    assert opened.state()["panels"][0]["drawn"] >= 1 and page.is_hidden("#cut")
    page.locator(".map").focus()
    opened.press("ArrowRight", "Enter")
    opened.until(lambda: "point" in page.inner_text("#details"))
    assert ("No reliable label" in page.inner_text("#details")) <= ("labels" not in kind)
    opened.press("Escape", "+", "+", "0", "c", "/")
    opened.settle()
    opened.shot("little " + " ".join(kind))


def test_without_pictures_cells_are_told_by_class_and_name(opener: Opener, tmp_path: Path) -> None:
    opened = opener(small_atlas(tmp_path / "atlas", layers=("a",), icons=False).view(tmp_path / "page.html"))
    page = opened.page
    assert page.locator("#overlay option").first.inner_text() == "First class"
    assert "One colour per class" in page.inner_text("#legend")
    page.mouse.move(*opened.spot(8, 8, 16))
    opened.until(lambda: "row 9, column 9" in page.inner_text("#details"))
    text = page.inner_text("#details")
    assert "Icon" not in text.partition("Figures")[0] and page.locator("#details .big").count() == 0
    near = page.locator("#details .regions button")
    assert near.count() == 6 and re.search(r"(sun|sea|stone)\s+row \d+, column \d+", near.first.inner_text())
    near.first.click()
    opened.until(lambda: opened.settle().state()["pin"] is not None)
    assert "row 9, column 9" not in page.inner_text(".facts-of")
    page.get_by_role("button", name="Compare").click()
    page.mouse.click(*opened.spot(5, 9, 16))
    opened.until(lambda: page.locator(".side h2").count() == 2)
    opened.shot("without pictures")


def test_files_beside_the_page_are_read_when_they_are_needed(opener: Opener, tmp_path: Path) -> None:
    import numpy as np

    from phosphene.atlas.icon_set import step_name

    atlas = small_atlas(tmp_path / "atlas", points=4000, levels=(10, 20), layers=("a",), icons=False)
    random, cut = np.random.default_rng(0), atlas.steps.read("grid.a")
    for level in atlas.grid("a").levels:
        count = len(level.group_cells)
        images = random.integers(0, 256, (count, 80, 80, 3), np.uint8)
        arrays = {
            "groups": np.arange(count),
            "images": images,
            "activations": level.group_means,
            "evaluations": np.ones(count, np.int32),
            "tries": np.ones(count, np.int32),
        }
        atlas.steps.keep(step_name("a", level.size, 0), {}, cut.identity, lambda arrays=arrays: arrays)
    path = atlas.view(tmp_path / "a page: #1 %.html", max_mb=1)
    beside = sorted((tmp_path / "a page: #1 %.html.files").iterdir())
    assert path.stat().st_size < 1e6 and beside
    opened = opener(path)
    opened.page.get_by_role("button", name="Level of 20 by 20 cells").click()
    assert opened.settle().level() == 20
    assert any(".files/" in url for url in opened.asked) and opened.state()["panels"][0]["missing"] == 0
    lost = tmp_path / "lost" / "page.html"
    lost.parent.mkdir()
    shutil.copy(path, lost)
    alone = opener(lost, "#level=20", settle=False)
    alone.until(lambda: alone.page.is_visible("#note"))
    assert "beside this page is missing" in alone.page.inner_text("#note")
    alone.told.clear()  # the browser says so as well


def test_real_patches_are_shown_and_stand_in_for_icons(opener: Opener, tmp_path: Path) -> None:
    atlas = with_patches(small_atlas(tmp_path / "atlas", layers=("a",), levels=(4, 8), icons=False))
    opened = opener(view(atlas, tmp_path / "page.html"))
    page = opened.page
    page.mouse.click(*opened.spot(2, 2, 4))
    opened.until(lambda: page.locator("#details canvas[aria-label^='Real patch']").count() == 4)
    assert "Icon not measured" in page.inner_text("#details")
    opened.settle()
    middle = "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[3]"
    drawn = f"[...document.querySelectorAll('#details canvas')].map({middle})"
    opened.until(lambda: page.evaluate(drawn) == [255] * page.locator("#details canvas").count())
    opened.shot("patches")


def test_in_a_frame_of_a_notebook(opener: Opener, tmp_path: Path) -> None:
    atlas = small_atlas(tmp_path / "atlas", layers=("a",))
    frame = atlas._repr_html_()
    assert frame is not None and 'sandbox="allow-scripts"' in frame
    page = tmp_path / "notebook.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{frame}</body>")
    opened = opener(page, settle=False)
    inner = opened.page.frame_locator("iframe")
    inner.locator(".map").wait_for()
    inner.locator(".map").hover()
    opened.until(lambda: "point" in inner.locator("#details").inner_text())
    empty = small_atlas(tmp_path / "other", layers=("a",), icons=False)
    shutil.rmtree(empty.folder / "steps")
    assert empty._repr_html_() is None
