"""Makes the pictures of the page on the activation atlas, from an atlas of the embedded network, in Chromium.

``python docs/maps.py [FOLDER]`` builds the atlas that the page tells of (some six minutes; one that is there is taken as it is),
and writes pictures of its report and of the page to walk through to ``docs/images``.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import phosphene as ph

IMAGES = Path(__file__).parent / "images"
LARGEST = 350_000
"""Bytes above which a picture gets a palette."""

LAYERS = ("stage2", "stage3")
CELL = "20.6.11.stage3"
"""The cell that is read in the picture of the page: wheels of a motorcycle."""


def atlas_in(folder: Path) -> ph.Atlas:
    """The atlas, built where it is not there."""
    return ph.Atlas.build(ph.load("specimen"), "photos:20000", list(LAYERS), folder, levels=(10, 20, 40))


def of_report(browser: Any, page_path: Path) -> dict[str, bytes]:
    """The parts of the report that the page shows."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(page_path.as_uri())
    page.wait_for_timeout(500)
    stage2, stage3 = (page.locator("section.layer").nth(number) for number in (0, 1))
    parts = {
        "atlas_map": stage3.locator(".halved"),
        "atlas_stage2": stage2.locator(".map"),
        "atlas_trust": stage3.locator(".columns.after"),
        "atlas_doubts": stage2.locator(".doubts").nth(0),
        "atlas_carryover": page.locator("main > .scroll").first,
    }
    found = {}
    for name, part in parts.items():
        box = part.bounding_box()
        clip = {"x": box["x"] - 18, "y": box["y"] - 14, "width": box["width"] + 36, "height": box["height"] + 28}
        found[name] = page.screenshot(full_page=True, clip=clip)
    return found


def of_viewer(browser: Any, page_path: Path) -> dict[str, bytes]:
    """The page to walk through, with a cell that is read; smaller, as it is shown."""
    page = browser.new_context(color_scheme="dark", viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{page_path.as_uri()}#layer=stage3")
    page.locator("#wait").wait_for(state="hidden")
    page.get_by_role("button", name="Level of 20 by 20 cells").click()
    page.wait_for_timeout(1000)
    page.evaluate(f"location.hash = '#layer=stage3&level=20&cell={CELL}'")
    page.wait_for_timeout(1000)
    return {"atlas_viewer": page.screenshot()}


def smaller(data: bytes, width: int) -> bytes:
    """A PNG at most so wide, with a palette where it is large."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data)).convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS)
    whole, result = io.BytesIO(), io.BytesIO()
    picture.save(whole, "PNG", optimize=True)
    if len(whole.getvalue()) > LARGEST:
        picture = picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)
    picture.save(result, "PNG", optimize=True)
    return result.getvalue()


def main() -> None:
    """Make all of them."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as started:
        folder = Path(temporary)
        atlas = atlas_in(Path(sys.argv[1]) if sys.argv[1:] else folder / "atlas")
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        found = of_report(browser, atlas.report(folder / "report.html"))
        found |= of_viewer(browser, atlas.view(folder / "atlas.html"))
        browser.close()
    for name, data in found.items():
        small = smaller(data, 1200)
        (IMAGES / f"{name}.png").write_bytes(small)
        print(f"{name}.png: {len(small) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
